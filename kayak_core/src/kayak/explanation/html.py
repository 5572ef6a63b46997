"""An explanation as HTML: self-contained, without scripts, every string escaped."""

from __future__ import annotations

import html

import numpy as np

from kayak.explanation.alignment import Explanation, token_label

_BOX = "font-family:system-ui,sans-serif;font-size:14px;line-height:1.7;max-width:60em;color:#0f172a;background:#fff"
_CELL = "padding:1px 10px;text-align:left;background:#fff;color:#0f172a"
_SHADE = "194,65,12"
_BAR_WIDTH = 120


def explanation_html(explanation: Explanation) -> str:
    """Return a block that shows the document, shaded by what each token added, above a table of the alignments."""
    document = "the document" if explanation.doc_id is None else f"document <b>{html.escape(explanation.doc_id)}</b>"
    head = (
        f"score <b>{explanation.score:.4f}</b> of {document}: {explanation.query_vector_count} query vectors, "
        f"{explanation.document_vector_count} document vectors"
    )
    return f'<div style="{_BOX}"><p>{head}</p><p>{_document(explanation)}</p>{_table(explanation)}</div>'


def _document(explanation: Explanation) -> str:
    """Return the document's tokens; one that query tokens found is shaded by the similarity that it added."""
    added = np.zeros(explanation.document_vector_count)
    finders: dict[int, list[str]] = {}
    for each in explanation.alignments:
        added[each.document_position] += each.similarity
        label = token_label(each.query_position, each.query_token)
        finders.setdefault(each.document_position, []).append(f"{label} {each.similarity:.3f}")
    greatest = max(float(added.max()), 0.0) or 1.0
    tokens = explanation.document_tokens or tuple(f"[{i}]" for i in range(explanation.document_vector_count))
    parts = []
    for position, token in enumerate(tokens):
        shown = html.escape(token)
        if position not in finders:
            parts.append(f'<span style="color:#64748b">{shown}</span>')
            continue
        strength = max(0.0, float(added[position])) / greatest
        title = html.escape("found by " + ", ".join(finders[position]), quote=True)
        parts.append(
            f'<span title="{title}" style="background:rgba({_SHADE},{0.08 + 0.5 * strength:.2f});border-radius:3px;'
            f'padding:0 3px">{shown}</span>'
        )
    return " ".join(parts)


def _table(explanation: Explanation) -> str:
    greatest = max((each.share or 0.0 for each in explanation.alignments), default=0.0)
    rows = []
    for each in explanation.alignments:
        share = each.share or 0.0
        width = round(_BAR_WIDTH * share / greatest) if greatest > 0 and share > 0 else 0
        cells = (
            html.escape(token_label(each.query_position, each.query_token)),
            html.escape(token_label(each.document_position, each.document_token)),
            f"{each.similarity:.4f}",
            "" if each.share is None else f"{each.share:.1%}",
            f'<div style="width:{width}px;height:10px;background:rgb({_SHADE})"></div>',
        )
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>")
    headings = "".join(
        f'<th style="{_CELL}">{heading}</th>'
        for heading in ("query token", "document token", "similarity", "share", "")
    )
    head = f"<thead><tr>{headings}</tr></thead>"
    return f'<table style="border-collapse:collapse">{head}<tbody>{"".join(rows)}</tbody></table>'
