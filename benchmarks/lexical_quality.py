"""Ranking quality of the `hashing` encoder beside BM25, on every test collection of a folder in BEIR layout.

    python benchmarks/lexical_quality.py [--data DATA] [--json RESULT]

`DATA/<collection>/` holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels/test.tsv`
(query, document, graded gain). Needs kayak-core, bm25s, PyStemmer and ir-measures.

BM25 is bm25s in its "lucene" variant with k1 = 1.5, b = 0.75, its English stop words and the Snowball stemmer;
`hashing` is exact MaxSim over all documents through the public API. A document without any word cannot be encoded: it
is left out of both rankings and counted. The constants of `hashing` were chosen on half of the queries of Cranfield
and SciFact, so their other half is reported as "held out" too; it took no part in any choice of a constant.
The lists of frequent English words were written from general knowledge, without counting in any collection, but with
the queries of both collections known, so they cannot be called blind.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import bm25s
import ir_measures
import kayak
import numpy as np
import numpy.typing as npt
import Stemmer
from ir_measures import R, nDCG

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MEASURES = (nDCG @ 10, R @ 100)
RANKED = 1000
QUERY_BATCH = 32

CHOSEN_ON = {"cranfield": 0, "scifact": 1}
"""Queries at these positions (modulo 2, among the judged ones, in file order) chose the encoder's constants."""


@attrs.frozen
class Collection:
    """One test collection: the documents that hold a word, the judged queries, and the judgements."""

    name: str
    doc_ids: list[str]
    texts: list[str]
    empty_doc_ids: list[str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]

    @property
    def held_out(self) -> list[str]:
        """Ids of the queries that chose no constant."""
        chosen = CHOSEN_ON.get(self.name)
        return [query_id for i, query_id in enumerate(self.queries) if i % 2 != chosen]


@attrs.frozen
class Ranking:
    """The scores of all documents for all queries, shape (queries, documents), and how long they took."""

    system: str
    scores: npt.NDArray[np.float32]
    prepare_seconds: float
    search_seconds: float


def read_collection(folder: Path, encoder: kayak.HashingEncoder) -> Collection:
    documents = {
        row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in read_lines(folder / "corpus.jsonl")
    }
    empty = [doc_id for doc_id, text in documents.items() if not encoder.tokens(text)]
    for doc_id in empty:
        del documents[doc_id]
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = {row["_id"]: row["text"] for row in read_lines(folder / "queries.jsonl") if row["_id"] in qrels}
    return Collection(folder.name, list(documents), list(documents.values()), empty, queries, qrels)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def rank_bm25(collection: Collection) -> Ranking:
    started = time.perf_counter()
    stemmer = Stemmer.Stemmer("english")
    options = {"stopwords": "en", "stemmer": stemmer, "show_progress": False}
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(bm25s.tokenize(collection.texts, **options), show_progress=False)
    prepared = time.perf_counter()
    words = bm25s.tokenize(list(collection.queries.values()), return_ids=False, **options)
    scores = np.stack(
        [index.get_scores(query) if query else np.zeros(len(collection.texts), np.float32) for query in words]
    )
    return Ranking("BM25", scores, prepared - started, time.perf_counter() - prepared)


def rank_hashing(collection: Collection, encoder: kayak.HashingEncoder) -> Ranking:
    started = time.perf_counter()
    index = encoder.encode_documents(collection.doc_ids, collection.texts).pack()
    prepared = time.perf_counter()
    queries = encoder.encode_queries(list(collection.queries.values()))
    scores: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(queries), QUERY_BATCH):
        batch = kayak.query_batch(queries[start : start + QUERY_BATCH])
        scores += [found.numpy() for found in kayak.maxsim_batch(batch, index)]
    return Ranking(encoder.fingerprint, np.stack(scores), prepared - started, time.perf_counter() - prepared)


def measure(collection: Collection, ranking: Ranking, query_ids: Sequence[str]) -> dict[str, float]:
    """Return the mean of each measure over the given queries."""
    wanted = set(query_ids)
    run = {
        query_id: top_documents(collection.doc_ids, scores)
        for query_id, scores in zip(collection.queries, ranking.scores, strict=True)
        if query_id in wanted
    }
    qrels = {query_id: collection.qrels[query_id] for query_id in query_ids}
    found = ir_measures.calc_aggregate(MEASURES, qrels, run)
    return {str(measure): float(found[measure]) for measure in MEASURES}


def top_documents(doc_ids: Sequence[str], scores: npt.NDArray[np.float32]) -> dict[str, float]:
    best = np.argsort(-scores, kind="stable")[:RANKED]
    return {doc_ids[i]: float(scores[i]) for i in best.tolist()}


def evaluate(collection: Collection, ranking: Ranking) -> dict[str, Any]:
    return {
        "collection": collection.name,
        "system": ranking.system,
        "documents": len(collection.doc_ids),
        "empty_documents": collection.empty_doc_ids,
        "queries": len(collection.queries),
        "all": measure(collection, ranking, list(collection.queries)),
        "held_out_queries": len(collection.held_out),
        "held_out": measure(collection, ranking, collection.held_out),
        "prepare_seconds": round(ranking.prepare_seconds, 3),
        "search_seconds": round(ranking.search_seconds, 3),
    }


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    names = [str(measure) for measure in MEASURES]
    headings = [*names, *(f"{name}, held out" for name in names), "prepare", "search"]
    print(f"{'collection':<12}{'system':<42}" + "".join(f"{heading:>19}" for heading in headings))
    for row in rows:
        values = [f"{row[part][name]:.3f}" for part in ("all", "held_out") for name in names]
        values += [f"{row[part]:.2f} s" for part in ("prepare_seconds", "search_seconds")]
        print(f"{row['collection']:<12}{row['system']:<42}" + "".join(f"{value:>19}" for value in values))
    for name, empty in {row["collection"]: row["empty_documents"] for row in rows}.items():
        if empty:
            print(f"{name}: {len(empty)} documents without any word left out ({', '.join(empty)})")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of collections in BEIR layout")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    folders = sorted(path.parent for path in arguments.data.glob("*/corpus.jsonl"))
    if not folders:
        parser.error(f"no <collection>/corpus.jsonl under {arguments.data}")
    encoder = kayak.HashingEncoder()
    rows = []
    for folder in folders:
        collection = read_collection(folder, encoder)
        rankings = (rank_bm25(collection), rank_hashing(collection, encoder))
        rows += [evaluate(collection, ranking) for ranking in rankings]
    print_table(rows)
    if arguments.json is not None:
        versions = {"python": platform.python_version(), "numpy": np.__version__, "bm25s": bm25s.__version__}
        arguments.json.write_text(json.dumps({"versions": versions, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
