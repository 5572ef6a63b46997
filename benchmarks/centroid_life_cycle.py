"""Centroids kept beside a directory store: opening, extending after every upsert, and what that loses.

    python benchmarks/centroid_life_cycle.py [--data COLLECTION] [--upserts N] [--json FILE]

Half of the collection is stored and its centroids are built; the rest arrives in `--upserts` equal batches, each
followed by `store_centroids`. Recall is that of the exact top 10 in a plan with a window of 200, against centroids that
are built from the whole collection at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import candidates
import kayak
import kayak_centroids
import minilm_tokens
import numpy as np

WINDOW = 200
OPENINGS = 20


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--upserts", type=int, default=100, help="batches (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    collection = candidates.Collection(arguments.data, arguments.cache)
    backend = candidates.MOJO if candidates.MOJO in kayak.available_backends() else candidates.NUMPY
    generator = kayak_centroids.centroid_interaction_candidate_generator()
    plan = kayak_centroids.centroid_search_plan(candidates.DEPTH, WINDOW)
    ids = collection.index.doc_ids
    exact = [
        [hit.doc_id for hit in hits]
        for query in collection.asked
        for hits in (kayak.search(query, collection.index, k=candidates.DEPTH, backend=backend),)
    ]

    def documents(numbers: Any) -> kayak.LateDocuments:
        matrices = [collection.index.document_token_matrix(number) for number in numbers.tolist()]
        return kayak.documents([ids[number] for number in numbers.tolist()], matrices)

    def recall(index: kayak.LateIndex) -> float:
        found = [
            [hit.doc_id for hit in kayak.search_with_plan(query, index, plan, backend=backend).hits]
            for query in collection.asked
        ]
        return candidates.recall(found, exact)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        order = np.random.default_rng(0).permutation(len(ids))
        half = len(ids) // 2
        upserts, extensions = [], []
        with kayak.DirectoryLateStore(path) as store:
            store.upsert(documents(order[:half]))
            first = kayak_centroids.store_centroids(store, generator, backend=backend)
            for batch in np.array_split(order[half:], arguments.upserts):
                start = time.perf_counter()
                store.upsert(documents(batch))
                upserts.append(time.perf_counter() - start)
                start = time.perf_counter()
                report = kayak_centroids.store_centroids(store, generator, backend=backend)
                extensions.append(time.perf_counter() - start)
            extended = recall(store.load_index())
            pieces = len(store.artifacts.read(store.artifacts.names()[0])) - 1
        reading, preparing = opening(path, generator, backend)
        fresh = recall(collection.index)
    tenth = max(1, len(extensions) // 10)
    figures = {
        "backend": backend,
        "documents_at_first": half,
        "documents": len(ids),
        "build_seconds_at_first": first.build_seconds,
        "upserts": len(upserts),
        "documents_an_upsert": round((len(ids) - half) / len(upserts), 1),
        "extension_ms_first_tenth": statistics.median(extensions[:tenth]) * 1e3,
        "extension_ms_last_tenth": statistics.median(extensions[-tenth:]) * 1e3,
        "extension_ms_mean": statistics.mean(extensions) * 1e3,
        "upsert_ms": statistics.median(upserts) * 1e3,
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
