"""Opens pictures: what every picture of ours must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure


@contextmanager
def figures_drawn() -> Iterator[list[Figure]]:
    """Collect the figures that are saved meanwhile."""
    seen: list[Figure] = []
    save = Figure.savefig

    def spy(self: Figure, *arguments: object, **options: object) -> None:
        seen.append(self)
        save(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", spy)
        yield seen


def checked_picture(draw: Callable[[Path], Path], path: Path) -> Figure:
    """Draw, open the file, and return the figure: of a sensible size, not blank, every axis labelled and inside."""
    with figures_drawn() as figures:
        assert draw(path) == path
    (figure,) = figures
    pixels = image.imread(path)[..., :3]
    assert pixels.shape[0] >= 300
    assert pixels.shape[1] >= 600
    ink = float((pixels.min(axis=2) < 0.9).mean())
    assert 0.005 < ink < 0.9, f"{ink:.1%} of the picture is drawn on"
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edge > 0.95).all(), "something is cut off at the edge"
    for axes in figure.axes:
        if axes.get_label() != "<colorbar>":
            assert axes.get_xlabel()
            assert axes.get_title(loc="left")
        assert axes.get_ylabel()
    return figure


def texts_of(figure: Figure) -> str:
    """Return all text of a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())
