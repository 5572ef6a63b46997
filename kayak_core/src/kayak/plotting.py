"""Figures through matplotlib's object interface: no global state, no display, always a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kayak.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#3f51b5", "#c2410c", "#0f766e", "#7e22ce", "#b45309", "#475569", "#be123c", "#15803d")
INK = "#1f2937"
GRID = "#d8dde6"
_DOTS_PER_INCH = 150


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which no window and no other figure knows of.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "drawing a picture needs matplotlib; install it with `pip install 'kayak-core[plot]'`"
        ) from error
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Any) -> None:
    """Give axes a light grid and no box."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def plain(text: str) -> str:
    """Return text that matplotlib draws as it is: dollar signs start no formula, control characters are gone."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file; the suffix gives the format.

    Raises:
        InvalidInputError: the suffix is no format that can be drawn, or the file cannot be written.
    """
    target = Path(path)
    known = figure.canvas.get_supported_filetypes()
    suffix = target.suffix.lower().removeprefix(".")
    if suffix not in known:
        raise InvalidInputError(
            f"cannot draw into {str(target)!r}: the file name must end in one of "
            f"{', '.join(f'.{each}' for each in sorted(known))}, for example picture.png"
        )
    try:
        figure.savefig(target, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise InvalidInputError(f"cannot write the picture {str(target)!r}: {error.strerror or error}") from error
    return target
