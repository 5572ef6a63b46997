"""Rankings, profiles and alignments as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from kayak.cli.console import printable, snippet
from kayak.contracts import SearchStageProfile
from kayak.evaluation.text_table import bytes_text
from kayak.explanation import Explanation

_ID_SHARE = 0.4
"""How much of a line ids may take."""
_MIN_TEXT = 16
_PADDING = 3
_BAR_WIDTH = 12


@attrs.frozen
class Row:
    """One ranked document.

    Attributes:
        doc_id: its id.
        score: its score.
        text: what is shown of its text.
    """

    doc_id: str
    score: float
    text: str | None


def ranking(rows: Sequence[Row], width: int) -> Table:
    """Return ranked documents as a table: rank, score, id, and as much of the text as fits into one line."""
    ranks = len(str(len(rows)))
    scores = [f"{row.score:.3f}" for row in rows]
    score_width = max(len("score"), *map(len, scores))
    longest = max(len("document"), *(cell_len(printable(row.doc_id)) for row in rows))
    id_width = min(longest, max(len("document"), int(width * _ID_SHARE)))
    room = max(_MIN_TEXT, width - ranks - score_width - id_width - 4 * _PADDING)
    table = _table(None)
    table.add_column("#", justify="right", style="dim", min_width=ranks)
    table.add_column("score", justify="right", style="bold", min_width=score_width)
    table.add_column("document", overflow="fold", min_width=id_width, max_width=id_width)
    table.add_column("text", overflow="fold")
    for rank, (row, score) in enumerate(zip(rows, scores, strict=True), start=1):
        table.add_row(str(rank), score, _text(row.doc_id), Text(snippet(row.text, room)))
    return table


def profiles(stages: Iterable[SearchStageProfile], *, title: str | None = None) -> Table:
    """Return the profile of each stage as a table.

    Hits are those that went in and came out; vectors are those of the query times those of the documents.
    """
    table = _table(title)
    table.add_column("stage", overflow="fold")
    for heading in ("hits", "documents", "vectors", "read", "time"):
        table.add_column(heading, justify="right", overflow="fold")
    for stage in stages:
        name = _text(stage.stage_name)
        if stage.executor:
            over = f" over {stage.vector_dtype}" if stage.vector_dtype not in (None, "float32") else ""
            name.append(f"\n  by {printable(stage.executor)}{over}", style="dim")
        table.add_row(
            name,
            f"{stage.input_hit_count} → {stage.output_hit_count}",
            f"{stage.document_count:,}",
            f"{stage.query_vector_count} × {stage.document_vector_count:,}",
            bytes_text(stage.bytes_read),
            f"{stage.elapsed_seconds * 1000:.1f} ms",
        )
    return table


def preparation_notes(stages: Iterable[SearchStageProfile]) -> list[str]:
    """Return a line for each stage that prepared something or has a note."""
    lines = []
    for stage in stages:
        if stage.preparation is not None:
            built = f"built in {stage.preparation_seconds * 1000:.0f} ms" if stage.preparation_seconds else "reused"
            lines.append(f"{stage.stage_name}: {stage.preparation}, {built}")
        lines += [f"{stage.stage_name}: {note}" for note in stage.notes]
    return lines


def alignment(explanation: Explanation, *, title: str | None = None) -> Table:
    """Return which document token each query token found, with a bar for its share of the score."""
    table = _table(title)
    table.add_column("query token", style="bold")
    table.add_column("")
    table.add_column("document token")
    table.add_column("similarity", justify="right")
    table.add_column("share", justify="right")
    table.add_column("", no_wrap=True)
    greatest = max((each.share or 0.0 for each in explanation.alignments), default=0.0)
    for each in explanation.alignments:
        share = each.share or 0.0
        bar = "█" * round(_BAR_WIDTH * share / greatest) if greatest > 0 and share > 0 else ""
        table.add_row(
            _text(each.query_token if each.query_token is not None else f"[{each.query_position}]"),
            "→",
            _text(each.document_token if each.document_token is not None else f"[{each.document_position}]"),
            f"{each.similarity:.3f}",
            "" if each.share is None else f"{each.share:.0%}",
            Text(bar, style="dim"),
        )
    return table


def _table(title: str | None) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)


def _text(value: str) -> Text:
    return Text(printable(value))
