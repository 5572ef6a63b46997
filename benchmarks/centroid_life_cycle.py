"""Centroids kept beside a directory store: opening, extending after every upsert, and what that loses.

    python benchmarks/centroid_life_cycle.py [--data COLLECTION] [--passages N] [--upserts N] [--batch N] [--json FILE]

Each document of the collection is cut into `--passages` passages of about equal length, each a document of its own. As
many as `--upserts` batches do not take are stored at first, and centroids are built from them; the rest arrives in
batches of `--batch` passages, each followed by `store_centroids`. Recall is that of the exact top 10 in a plan with a
window of 200, against centroids that are built from all passages at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import kayak
import kayak_centroids
import minilm_tokens
import numpy as np
import numpy.typing as npt
from candidate_measures import DEPTH, MOJO, NUMPY, Collection, recall

WINDOW = 200
OPENINGS = 20
Matrix = npt.NDArray[np.float32]


def opening(path: Path, generator: kayak_centroids.CentroidInteraction, backend: str) -> tuple[float, float]:
    """Return the median milliseconds of reading the artifact, and of preparing a loaded index with it."""
    name = f"centroid_interaction-auto-{generator.seed}-{generator.iterations}-{generator.sample_per_centroid}"
    reading, preparing = [], []
    for _ in range(OPENINGS):
        with kayak.DirectoryLateStore(path) as store:
            start = time.perf_counter()
            store.artifacts.read(name)
            reading.append(time.perf_counter() - start)
            index = store.load_index()
            start = time.perf_counter()
            kayak_centroids.prepare_centroids(index, generator, backend=backend)
            preparing.append(time.perf_counter() - start)
    return statistics.median(reading) * 1e3, statistics.median(preparing) * 1e3


def passages(collection: Collection, count: int) -> tuple[list[str], list[Matrix]]:
    """Cut every document into `count` passages, or one a vector where it has fewer."""
    ids, matrices = [], []
    for number, doc_id in enumerate(collection.index.doc_ids):
        whole = collection.index.document_token_matrix(number)
        for place, part in enumerate(np.array_split(whole, min(count, len(whole)))):
            ids.append(f"{doc_id}/{place}")
            matrices.append(part)
    return ids, matrices


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """The course of a cost over all batches: medians of its first and last fifth, the mean and the slowest."""
    fifth = max(1, len(seconds) // 5)
    return {
        "first_fifth": statistics.median(seconds[:fifth]) * 1e3,
        "last_fifth": statistics.median(seconds[-fifth:]) * 1e3,
        "mean": statistics.mean(seconds) * 1e3,
        "slowest": max(seconds) * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--passages", type=int, default=4, help="passages a document (default: %(default)s)")
    parser.add_argument("--upserts", type=int, default=100, help="batches (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=100, help="passages of a batch (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    collection = Collection([arguments.data], arguments.cache)
    backend = MOJO if MOJO in kayak.available_backends() else NUMPY
    generator = kayak_centroids.centroid_interaction_candidate_generator()
    plan = kayak_centroids.centroid_search_plan(DEPTH, WINDOW)
    ids, matrices = passages(collection, arguments.passages)
    first_count = len(ids) - arguments.upserts * arguments.batch
    if first_count < arguments.batch:
        parser.error(f"{len(ids)} passages are too few for {arguments.upserts} batches of {arguments.batch}")
    whole = kayak.documents(ids, matrices).pack()
    exact = [[hit.doc_id for hit in kayak.search(query, whole, k=DEPTH, backend=backend)] for query in collection.asked]

    def documents(numbers: npt.NDArray[np.int64]) -> kayak.LateDocuments:
        chosen = numbers.tolist()
        return kayak.documents([ids[number] for number in chosen], [matrices[number] for number in chosen])

    def recall_over(index: kayak.LateIndex) -> float:
        found = [
            [hit.doc_id for hit in kayak.search_with_plan(query, index, plan, backend=backend).hits]
            for query in collection.asked
        ]
        return recall(found, exact)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        order = np.random.default_rng(0).permutation(len(ids))
        upserts, extensions = [], []
        with kayak.DirectoryLateStore(path) as store:
            store.upsert(documents(order[:first_count]))
            first = kayak_centroids.store_centroids(store, generator, backend=backend)
            for batch in np.array_split(order[first_count:], arguments.upserts):
                start = time.perf_counter()
                store.upsert(documents(batch))
                upserts.append(time.perf_counter() - start)
                start = time.perf_counter()
                report = kayak_centroids.store_centroids(store, generator, backend=backend)
                extensions.append(time.perf_counter() - start)
            extended = recall_over(store.load_index())
            pieces = len(store.artifacts.read(store.artifacts.names()[0])) - 1
        reading, preparing = opening(path, generator, backend)
        fresh = recall_over(whole)
    figures = {
        "backend": backend,
        "documents_at_first": first_count,
        "documents": len(ids),
        "build_seconds_at_first": first.build_seconds,
        "upserts": len(upserts),
        "documents_an_upsert": arguments.batch,
        "upsert_ms": milliseconds(upserts),
        "extension_ms": milliseconds(extensions),
        "pieces": pieces,
        "recall_extended": extended,
        "recall_fresh": fresh,
        "rebuild_reason": report.rebuild_reason,
        "read_artifact_ms": reading,
        "prepare_index_ms": preparing,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
