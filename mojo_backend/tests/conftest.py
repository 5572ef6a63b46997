"""Shared settings and fixtures of the tests of kayak-mojo."""

from __future__ import annotations

import shutil
from pathlib import Path

import kayak
import pytest
from hypothesis import HealthCheck, settings
from kayak_mojo.selection import PREBUILT

# Machines that run tests are often busy: a deadline would measure them, not the code.
settings.register_profile("kayak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kayak")


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the user's compiled libraries and settings from the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    for variable in ("KAYAK_MOJO_LEVEL", "KAYAK_MOJO_NO_CACHE", "KAYAK_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A copy of the installed libraries and their manifest, to be damaged."""
    if not (PREBUILT / "manifest.json").exists():
        pytest.fail(
            "kayak-mojo is installed without kernels; install it where Mojo can be, without KAYAK_MOJO_SKIP_BUILD"
        )
    return Path(shutil.copytree(PREBUILT, tmp_path / "libraries"))


@pytest.fixture
def compiler() -> tuple[str, ...]:
    """The Mojo command line."""
    cli = kayak.mojo_bridge_info().cli
    if cli is None:
        pytest.skip("there is no Mojo command line; `pip install 'kayak-mojo[compiler]'` brings it")
    return cli
