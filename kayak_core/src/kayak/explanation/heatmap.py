"""An explanation as a heatmap of all token pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kayak.explanation.alignment import Explanation, token_label
from kayak.plotting import INK, new_figure, plain, save_figure

_MOST_COLUMNS = 48
_NUMBERED_CELLS = 160
"""Up to so many cells hold their similarity as a number."""
_LONGEST = 22


def plot_explanation(explanation: Explanation, path: str | Path) -> Path:
    """Draw the similarities of query tokens (rows) and document tokens (columns), each row's maximum framed."""
    columns = _shown_columns(explanation)
    values = explanation.similarities[:, columns]
    rows = explanation.query_vector_count
    figure = new_figure(max(5.0, 0.42 * len(columns) + 2.6), max(2.6, 0.36 * rows + 2.0))
    axes = figure.add_subplot()
    limit = max(float(np.abs(explanation.similarities).max()), 1e-12)
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_yticks(
        range(rows), [_shortened(token_label(each.query_position, each.query_token)) for each in explanation.alignments]
    )
    tokens = explanation.document_tokens
    axes.set_xticks(
        range(len(columns)),
        [_shortened(token_label(place, tokens[place] if tokens else None)) for place in columns],
        rotation=60,
        ha="right",
        rotation_mode="anchor",
    )
    axes.tick_params(labelsize=9, length=0)
    axes.set_xlabel("document token")
    axes.set_ylabel("query token")
    place_of = {place: column for column, place in enumerate(columns)}
    for each in explanation.alignments:
        corner = (place_of[each.document_position] - 0.5, each.query_position - 0.5)
        _frame(axes, corner)
    if values.size <= _NUMBERED_CELLS:
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.6 * limit else INK
            axes.text(
                column, row, f"{round(float(value), 2) + 0.0:.2f}", ha="center", va="center", fontsize=7.5, color=colour
            )
    document = "the document" if explanation.doc_id is None else _shortened(explanation.doc_id)
    left_out = explanation.document_vector_count - len(columns)
    note = f"; {left_out} tokens that nothing found are left out" if left_out else ""
    axes.set_title(f"score {explanation.score:.3f} of {document}{note}", loc="left", fontsize=10, color=INK)
    figure.colorbar(image, ax=axes, label="similarity", shrink=0.9)
    return save_figure(figure, path)


def _shown_columns(explanation: Explanation) -> list[int]:
    """Return the document tokens to draw: all, or where they are too many those found and their neighbours."""
    count = explanation.document_vector_count
    if count <= _MOST_COLUMNS:
        return list(range(count))
    found = sorted({each.document_position for each in explanation.alignments})
    near = sorted({place + step for place in found for step in (-1, 0, 1) if 0 <= place + step < count})
    return near if len(near) <= _MOST_COLUMNS else found


def _frame(axes: object, corner: tuple[float, float]) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

    if isinstance(axes, Axes):
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, linewidth=1.6))


def _shortened(text: str) -> str:
    shown = plain(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
