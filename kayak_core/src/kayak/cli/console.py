"""What the command line writes: tables and JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 120
"""Columns of a table that goes to a file or a pipe, unless COLUMNS says otherwise."""


def prepare_streams() -> None:
    """Let characters that a stream's encoding lacks be written as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def stdout() -> Console:
    """Return a console on the present stdout: without colours where it is no terminal or NO_COLOR is set."""
    return _console(stderr=False)


def stderr() -> Console:
    """Return a console on the present stderr."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = PIPE_WIDTH
    return console


def note(message: str) -> None:
    """Write one line to stderr, for people."""
    stderr().print(printable(message), soft_wrap=True)


def write_text(text: str) -> None:
    """Write text to stdout as it is, lines unbroken."""
    stdout().print(Text(printable(text, keep_lines=True)), soft_wrap=True)


def write_json(value: Any) -> None:
    """Write a JSON value to stdout, for programs."""
    if sys.stdout is None:  # closed by the caller
        return
    utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, ensure_ascii=not utf8, indent=2, default=_plain) + "\n")


def printable(text: str, *, keep_lines: bool = False) -> str:
    """Replace control characters, so that no text from a corpus can steer the terminal."""
    keep = "\n\t" if keep_lines else ""
    return "".join(c if c in keep or not unicodedata.category(c).startswith("C") else " " for c in text)


def snippet(text: str | None, width: int) -> str:
    """Return the beginning of a text as one line of at most `width` columns."""
    line = " ".join(printable(text[: width * 8]).split()) if text else ""
    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return for example "1 document" or "1,204 documents"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _plain(value: object) -> object:
    item: Callable[[], object] | None = getattr(value, "item", None)  # NumPy scalars
    if item is None:
        raise TypeError(f"{type(value).__name__} is no JSON value")
    return item()
