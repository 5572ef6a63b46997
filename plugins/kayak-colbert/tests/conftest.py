"""Shared settings and fixtures of the tests of kayak-colbert."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))  # checkpoints.py, the recipe that the benchmarks share; hub.py

# Machines that run tests are often busy: a deadline would measure them, not the code.
settings.register_profile("kayak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kayak")

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the hub's client is imported: no test asks the network

NEEDED = ("torch", "sentence_transformers")
DATA = Path(os.environ.get("KAYAK_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the model packages where they are missing, and say which."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"{' and '.join(missing)} not installed; `pip install ./plugins/kayak-colbert`")
    for item in items:
        if Path(__file__).parent in item.path.parents and item.path.name != "test_colbert_arguments.py":
            item.add_marker(skip)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a tiny checkpoint of a format once: "stanford", "pylate", "native", "plain" or "sentence"."""
    import checkpoints

    folder = tmp_path_factory.mktemp("checkpoints")
    backbone = checkpoints.tiny_backbone(folder / "tokenizer")
    weight = checkpoints.projection(backbone)
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            target = folder / name
            if name == "stanford":
                checkpoints.write_stanford(target, backbone, weight)
            elif name == "pylate":
                checkpoints.write_pylate(target, backbone, weight)
            elif name == "native":
                checkpoints.write_native(target, write("stanford"))
            elif name == "sentence":
                checkpoints.write_sentence_transformer(target, write("plain"))
            else:
                checkpoints.write_plain(target, backbone)
            written[name] = target
        return written[name]

    return write


@pytest.fixture
def cranfield() -> Path:
    """The folder of the test collection Cranfield."""
    if not (DATA / "cranfield" / "corpus.jsonl").is_file():
        pytest.skip(
            f"the test collection Cranfield is missing in {DATA}; set KAYAK_TEST_DATA to the folder that has it"
        )
    return DATA / "cranfield"
