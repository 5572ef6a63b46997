"""Draws `docs/assets/maxsim.svg`: the similarities of a query and a document, with each row's maximum marked.

    python docs/figures/maxsim.py docs/assets/maxsim.svg

The numbers are those of the encoder `hashing`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kayak

QUERY = "wing flutter at high speed"
DOCUMENT = "Flutter of thin wings in high-speed flow"
CELL_WIDTH, CELL_HEIGHT, LEFT, TOP = 68, 38, 110, 84


def draw() -> str:
    """Return the figure."""
    encoder = kayak.HashingEncoder()
    rows, columns = encoder.query_tokens(QUERY), encoder.tokens(DOCUMENT)
    query, document = encoder.encode_query(QUERY).as_vector_matrix(), encoder.encode_document_vectors(DOCUMENT)
    values = query @ document.T
    right = LEFT + CELL_WIDTH * len(columns)
    bottom = TOP + CELL_HEIGHT * len(rows)
    width, height = right + 130, bottom + 66
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="15">',
        "<title>MaxSim: the best document token of each query token, added up</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        f'<text x="{(LEFT + right) / 2}" y="30" text-anchor="middle" fill="#475569">document tokens</text>',
        f'<text x="{LEFT - 12}" y="{TOP - 18}" text-anchor="end" fill="#475569">query tokens</text>',
        f'<text x="{right + 62}" y="{TOP - 18}" text-anchor="middle" fill="#475569">maximum</text>',
    ]
    for number, word in enumerate(columns):
        x = LEFT + CELL_WIDTH * (number + 0.5)
        parts.append(f'<text x="{x}" y="{TOP - 18}" text-anchor="middle" fill="#0f172a">{word}</text>')
    for number, word in enumerate(rows):
        y = TOP + CELL_HEIGHT * number
        parts.append(f'<text x="{LEFT - 12}" y="{y + 25}" text-anchor="end" fill="#0f172a">{word}</text>')
        best = int(values[number].argmax())
        for column, value in enumerate(values[number]):
            x = LEFT + CELL_WIDTH * column
            strength = max(0.0, float(value))
            mark = ' stroke="#c2410c" stroke-width="3"' if column == best else ' stroke="#e2e8f0"'
            parts.append(
                f'<rect x="{x + 3}" y="{y + 3}" width="{CELL_WIDTH - 6}" height="{CELL_HEIGHT - 6}" rx="4" '
                f'fill="#283593" fill-opacity="{0.05 + 0.95 * strength:.2f}"{mark}/>'
            )
            colour = "#ffffff" if strength > 0.4 else "#0f172a"
            weight = ' font-weight="600"' if column == best else ""
            parts.append(
                f'<text x="{x + CELL_WIDTH / 2}" y="{y + 25}" text-anchor="middle" fill="{colour}"{weight}>'
                f"{round(float(value), 2) + 0.0:.2f}</text>"
            )
        parts.append(
            f'<text x="{right + 62}" y="{y + 25}" text-anchor="middle" fill="#c2410c" font-weight="600">'
            f"{values[number, best]:.2f}</text>"
        )
    total = values.max(axis=1).sum()
    parts += [
        f'<line x1="{right + 22}" x2="{right + 102}" y1="{bottom + 10}" y2="{bottom + 10}" stroke="#475569"/>',
        f'<text x="{right + 14}" y="{bottom + 38}" text-anchor="end" fill="#0f172a">sum of the maxima = score</text>',
        f'<text x="{right + 62}" y="{bottom + 38}" text-anchor="middle" fill="#0f172a" font-weight="700">'
        f"{total:.2f}</text>",
    ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
