"""The example of a third-party plugin works: its own suite, the store kind that it adds, its README."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import kayak
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "kayak-sqlite3-store"
USE = """
import json, kayak
(plugin,) = [p for p in kayak.list_plugins() if p.name == "sqlite3"]
with kayak.open_store("sqlite3", path="documents.sqlite") as store:
    store.upsert(kayak.documents(["a"], [[[1.0, 2.0]]], texts=["wing"]), metadata=[{"year": 1960}])
with kayak.open_store("sqlite3", path="documents.sqlite") as store:
    index = store.load_index(where={"year": {"$gte": 1960}}, include_text=True)
print(json.dumps([plugin.distribution, plugin.status, kayak.available_store_kinds(), index.doc_texts]))
"""


def run(command, folder, **environment):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def assert_used(output: str) -> None:
    distribution, status, kinds, texts = json.loads(output)
    assert (distribution, status, texts) == ("kayak-sqlite3-store", "ok", ["wing"])
    assert "sqlite3" in kinds


def readme_code() -> str:
    return (EXAMPLE / "README.md").read_text().split("```python\n")[1].split("```")[0]


@pytest.fixture
def beside(tmp_path):
    """An environment in which the example is found without being installed."""
    info = tmp_path / "site" / "kayak_sqlite3_store-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kayak-sqlite3-store\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text("[kayak]\nsqlite3 = kayak_sqlite3_store\n")
    paths = [Path(kayak.__file__).parents[1], EXAMPLE / "src", tmp_path / "site"]
    return {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def test_the_suite_passes(beside, tmp_path):
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", EXAMPLE / "pyproject.toml")
    output = run((*command, "--rootdir", EXAMPLE, EXAMPLE / "tests"), tmp_path, **beside)
    assert "passed" in output
    assert "failed" not in output


def test_the_store_and_the_readme_work(beside, tmp_path):
    assert_used(run((sys.executable, "-W", "error", "-c", USE), tmp_path, **beside))
    assert run((sys.executable, "-c", readme_code()), tmp_path, **beside).strip() == "['a']"


@pytest.mark.newcomer
def test_in_a_fresh_environment(tmp_path):
    """Install the core and the example from their folders as a user would, then run the example's suite and store."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    clean = {"PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    core, example = f"{ROOT / 'kayak_core'}[testing]", str(EXAMPLE)
    run((python, "-m", "pip", "install", "--quiet", core, example), tmp_path, **clean)
    assert_used(run((python, "-W", "error", "-c", USE), tmp_path, **clean))
    suite = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", EXAMPLE / "pyproject.toml")
    output = run((*suite, "--rootdir", EXAMPLE, EXAMPLE / "tests"), tmp_path, **clean)
    assert "passed" in output
    assert "failed" not in output
    where = run((python, "-c", "import kayak; print(kayak.__file__)"), tmp_path, **clean)
    assert str(tmp_path) in where, "the environment must not see the checkout"
