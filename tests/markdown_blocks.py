"""Finds the fenced code blocks of a Markdown page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs

_FENCE = re.compile(r" *(?P<ticks>`{3,})(?P<info>[^`]*)$")
_INFO = re.compile(r'(?P<language>\w+)(?: title="(?P<title>[^"]*)")?')


class PageError(AssertionError):
    """A page shows something that is not so, or does not say what it shows."""


@attrs.frozen
class Block:
    """One fenced block.

    Attributes:
        place: page and line, for messages.
        line: line of the opening fence.
        language: the first word behind the fence.
        title: the title, or "".
        code: the lines between the fences, without common indentation.
    """

    place: str
    line: int
    language: str
    title: str
    code: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page; raise `PageError` for one without a language or an end."""
    opened: tuple[int, re.Match[str]] | None = None
    code: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, code = (number, fence), []
        elif opened and fence and not fence["info"].strip() and len(fence["ticks"]) >= len(opened[1]["ticks"]):
            start, first = opened
            place = f"{page.name}:{start}"
            info = _INFO.fullmatch(first["info"].strip())
            if info is None:
                raise PageError(f'{place}: write the block as ```language or ```language title="..."')
            yield Block(place, start, info["language"], info["title"] or "", textwrap.dedent("\n".join(code)) + "\n")
            opened = None
        elif opened:
            code.append(line)
    if opened:
        raise PageError(f"{page.name}:{opened[0]}: the block is never closed")
