"""What a newcomer does: the README's first command in an empty environment, twice, and a wrong turn."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.newcomer


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the command needs to a folder with nothing else around it."""
    folder = tmp_path_factory.mktemp("newcomer") / "kayak"
    folder.mkdir()
    shutil.copy(ROOT / "README.md", folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", "tests")
    shutil.copytree(ROOT / "kayak_core", folder / "kayak_core", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
    return kept | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "NO_COLOR": "1"}


def run(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_first_command(checkout: Path, environment: dict[str, str]) -> None:
    command = re.findall(r"```bash[^\n]*\n(.+?)\n```", (checkout / "README.md").read_text(encoding="utf-8"))[0]
    assert command.startswith("python3 -m venv .venv ")
    done = run(command.replace("python3", sys.executable, 1), checkout, environment)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Indexed the docstrings of Python .* documents", done.stdout), done.stdout
    assert "exact_late_interaction" in done.stdout
    assert "query token" in done.stdout

    again = run(".venv/bin/kayak demo 'compress a file'", checkout, environment)
    assert again.returncode == 0, again.stderr
    assert "Indexed the docstrings" not in again.stdout  # the index is there already
    assert "zip" in again.stdout

    listed = run(".venv/bin/pip list --format=freeze", checkout, environment).stdout.lower()
    assert "torch" not in listed

    wrong = run(".venv/bin/kayak search 'a question' --path nowhere", checkout, environment)
    assert wrong.returncode == 1
    assert "nowhere" in wrong.stderr
    assert "Traceback" not in wrong.stderr

    health = run(".venv/bin/kayak doctor", checkout, environment)
    assert health.returncode == 0, health.stderr
    assert "numpy_reference" in health.stdout
