"""Tables of results, as plain text and for rich, and figures in units that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs


@attrs.frozen
class TextTable:
    """A table whose first column is text and whose others are figures.

    Attributes:
        headings: one a column.
        rows: the cells, as text.
        marked: numbers of the rows that stand out.
    """

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    marked: frozenset[int] = frozenset()

    def __str__(self) -> str:
        cells = [self.headings, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.headings))]
        lines = []
        for row in cells:
            first, *others = (
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join([first, *others]).rstrip())
        return "\n".join(lines)

    def rich(self) -> Any:
        """Return the table as a `rich.table.Table`."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
        for column, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if column else "left", overflow="fold")
        for number, row in enumerate(self.rows):
            table.add_row(*(Text(cell) for cell in row), style="bold" if number in self.marked else None)
        return table


def milliseconds(seconds: float) -> str:
    """Return a time for people, with three significant digits."""
    value = seconds * 1e3
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} ms"


def bytes_text(count: float) -> str:
    """Return a number of bytes for people, in binary units."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
