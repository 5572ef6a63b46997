"""The README and its neighbours: links lead somewhere, and there are two commands, one line each."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))
from markdown_blocks import blocks  # noqa: E402 - a module of the tests, beside this one

FILES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "kayak_core/README.md")]


@pytest.mark.parametrize("page", FILES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_there_are_two_commands_of_one_line() -> None:
    commands = [block.code for block in blocks(ROOT / "README.md") if block.language == "bash"]
    assert len(commands) == 2
    for command in commands:
        assert len(command.splitlines()) == 1
        assert command.startswith("python3 -m venv ")
    assert "kayak demo" in commands[0]
    assert commands[1].rstrip().endswith("bin/nox")


def test_example_stays_short() -> None:
    (example,) = (block for block in blocks(ROOT / "README.md") if block.language == "python")
    assert len(example.code.splitlines()) <= 20
