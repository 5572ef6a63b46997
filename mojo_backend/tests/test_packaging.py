"""What a newcomer installs: the wheel that the isolated build makes, in an environment without any compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from kayak_mojo import cpu

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.newcomer

FIRST_SCORE = """
import json, kayak, numpy as np
index = kayak.documents(["a", "b"], [np.eye(8), np.ones((3, 8))]).pack()
info = kayak.backend_info("mojo_exact_cpu")
answer = {"available": info.available, "reason": info.availability_reason, "detail": info.detail}
if info.available:
    answer["scores"] = kayak.maxsim(kayak.query(np.eye(8) * 2), index, backend="mojo_exact_cpu").numpy().tolist()
print(json.dumps(answer))
"""


def run(*command: str, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "KAYAK_"))}
    done = subprocess.run(command, env=kept | variables, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the sources, so that nothing is left beside the real ones."""
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "libraries", "build", "dist", "tests")
    for name in ("kayak_core", "mojo_backend"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def wheel_of(checkout: Path, folder: Path, **variables: str) -> Path:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder))
    run(*pip, str(checkout / "mojo_backend"), **variables)
    (wheel,) = folder.glob("kayak_mojo-*.whl")
    return wheel


def first_score(checkout: Path, wheel: Path, folder: Path) -> dict[str, object]:
    run(sys.executable, "-m", "venv", str(folder))
    python = str(folder / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", str(checkout / "kayak_core"), str(wheel))
    answer: dict[str, object] = json.loads(run(python, "-c", FIRST_SCORE, PATH="/usr/bin:/bin"))
    return answer


def test_the_wheel_scores_without_a_compiler(checkout: Path, tmp_path: Path) -> None:
    wheel = wheel_of(checkout, tmp_path / "wheels")
    assert wheel.stat().st_size < 1_000_000
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    answer = first_score(checkout, wheel, tmp_path / "environment")
    assert answer["reason"] == f"kernels of kayak-mojo, prebuilt for {cpu.levels()[0]}"
    assert answer["scores"] == [16.0, 16.0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")
def test_libraries_depend_on_nothing(checkout: Path, tmp_path: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf (binutils) is missing")
    for target, level_count in (("linux-x86_64", 3), ("linux-aarch64", 1)):
        wheel = wheel_of(checkout, tmp_path / target, KAYAK_MOJO_TARGET=target)
        assert wheel.name.endswith(f"_{target.partition('-')[2]}.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / target)
        libraries = sorted((tmp_path / target / "kayak_mojo" / "libraries").glob("*.so"))
        assert len(libraries) == level_count
        for library in libraries:
            dynamic = run("readelf", "--wide", "--dynamic", "--dyn-syms", str(library))
            assert "(NEEDED)" not in dynamic
            assert "RUNPATH" not in dynamic
            symbols = [line.split() for line in dynamic.splitlines() if " GLOBAL " in line or " WEAK " in line]
            assert {fields[6] for fields in symbols} & {"UND"} == set()
            assert "kayak_maxsim_f32" in {fields[7] for fields in symbols}


def test_without_a_compiler_it_installs_and_says_so(checkout: Path, tmp_path: Path) -> None:
    wheel = wheel_of(checkout, tmp_path / "wheels", KAYAK_MOJO_SKIP_BUILD="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    answer = first_score(checkout, wheel, tmp_path / "environment")
    assert answer["available"] is False
    assert "installed without compiled kernels" in str(answer["reason"])
    assert "kayak mojo build" in str(answer["reason"])
