"""How much of the exact top 10 a document_proxy window keeps, on a test collection in BEIR layout.

    python docs/figures/candidate_recall.py COLLECTION [--svg docs/assets/candidate-recall.svg]

`COLLECTION` holds `corpus.jsonl` (`_id`, `title`, `text`) and `queries.jsonl` (`_id`, `text`). Prints the table of the
page "Tune candidate_k", and draws its figure. Encoder: `hashing`; documents without a word are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import kayak
import numpy as np

K = 10
WINDOWS = (10, 25, 50, 100, 200, 400, 800)
BUDGETS = ((0, 0), (0, 64))
"""(query_vector_budget, document_vector_budget); 0 means all."""


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measure(collection: Path) -> list[tuple[int, float, int, list[float]]]:
    """Return (candidate_k, share of the collection, mean vectors rescored, recall by budget) for each window."""
    encoder = kayak.HashingEncoder()
    texts = {row["_id"]: f"{row['title']} {row['text']}".strip() for row in read_jsonl(collection / "corpus.jsonl")}
    texts = {doc_id: text for doc_id, text in texts.items() if encoder.tokens(text)}
    index = kayak.documents(list(texts), encoder.encode_document_batch(list(texts.values()))).pack()
    queries = encoder.encode_queries([row["text"] for row in read_jsonl(collection / "queries.jsonl")])
    exact = [
        [hit.doc_id for hit in hits]
        for start in range(0, len(queries), 32)
        for hits in kayak.search_batch(kayak.query_batch(queries[start : start + 32]), index, k=K)
    ]
    ranks = []
    vectors = np.zeros(len(WINDOWS))
    for budget in BUDGETS:
        generator = kayak.document_proxy_candidate_generator(
            query_vector_budget=budget[0], document_vector_budget=budget[1]
        )
        for query, truth in zip(queries, exact, strict=True):
            window = kayak.generate_candidates(query, index, generator, k=max(WINDOWS)).candidate_doc_ids
            place = {doc_id: rank for rank, doc_id in enumerate(window)}
            ranks.append([place.get(doc_id, index.document_count) for doc_id in truth])
            if budget == (0, 0):
                counts = np.cumsum(index.counts[index.numbers_of(window)])
                vectors += counts[np.array(WINDOWS) - 1]
    by_budget = np.array(ranks).reshape(len(BUDGETS), -1)
    return [
        (
            window,
            window / index.document_count,
            round(vectors[number] / len(queries)),
            [float((placed < window).mean()) for placed in by_budget],
        )
        for number, window in enumerate(WINDOWS)
    ]


def table(rows: list[tuple[int, float, int, list[float]]]) -> str:
    """Return the Markdown table of the page."""
    lines = [
        "| `candidate_k` | share of the documents | document vectors rescored, mean | recall@10, all vectors averaged "
        "| recall@10, first 64 of a document |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [f"| {k} | {share:.1%} | {vectors:,} | {a:.2f} | {b:.2f} |" for k, share, vectors, (a, b) in rows]
    return "\n".join(lines)


def figure(rows: list[tuple[int, float, int, list[float]]]) -> str:
    """Return a line chart of recall over the window, as SVG."""
    left, top, width, height = 70, 30, 560, 260

    def x(window: int) -> float:
        return left + width * (np.log(window) - np.log(WINDOWS[0])) / (np.log(WINDOWS[-1]) - np.log(WINDOWS[0]))

    def y(recall: float) -> float:
        return top + height * (1 - recall)

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 370" font-family="system-ui, sans-serif" '
        'font-size="14" role="img">',
        "<title>Recall of the exact top 10 within a document_proxy window</title>",
        '<rect width="760" height="370" rx="8" fill="#ffffff"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#d8dde6"/>')
        parts.append(f'<text x="{left - 10}" y="{y(tick) + 5:.1f}" text-anchor="end" fill="#334">{tick:g}</text>')
    parts += [
        f'<text x="{x(window):.1f}" y="{top + height + 24}" text-anchor="middle" fill="#334">{window}</text>'
        for window in WINDOWS
    ]
    for number, (colour, name) in enumerate((("#3f51b5", "all vectors averaged"), ("#c2410c", "first 64 averaged"))):
        points = [(x(row[0]), y(row[3][number])) for row in rows]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in points]
        legend = top + 18 + 24 * number
        parts.append(
            f'<line x1="{left + 20}" x2="{left + 46}" y1="{legend}" y2="{legend}" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(f'<text x="{left + 54}" y="{legend + 5}" fill="#223">{name}</text>')
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 56}" text-anchor="middle" fill="#223">'
        "candidate_k (logarithmic)</text>"
    )
    parts.append(
        f'<text transform="translate(22 {top + height / 2}) rotate(-90)" text-anchor="middle" fill="#223">'
        "share of the exact top 10 in the window</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--svg", type=Path, help="draw the figure into this file")
    arguments = parser.parse_args()
    rows = measure(arguments.collection)
    print(table(rows))
    if arguments.svg:
        arguments.svg.write_text(figure(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
