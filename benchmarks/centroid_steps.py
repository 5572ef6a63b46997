"""Where the time of a centroid plan goes, stage by stage, and what a batch saves; beside the exact scan, in turns.

    python benchmarks/centroid_steps.py [--data COLLECTION] [--n-probe N] [--candidate-k N] [--rounds N]
        [--backend NAME] [--json FILE]

All queries of a collection encoded by `minilm_tokens.py`. In each round every query is searched with the plan, then by
the exact scan; then all queries go through the plan as one batch. Medians over queries; of the batch, the best round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import kayak
import kayak_centroids
import minilm_tokens
from candidate_measures import DEPTH, MOJO, NUMPY, Collection, recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--n-probe", type=int, default=16, help="centroids probed (default: %(default)s)")
    parser.add_argument("--candidate-k", type=int, default=150, help="window (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="times that all queries run (default: %(default)s)")
    parser.add_argument("--backend", help="Mojo where it is available, else NumPy, unless given")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    collection = Collection([arguments.data], arguments.cache)
    backend = arguments.backend or (MOJO if MOJO in kayak.available_backends() else NUMPY)
    plan = kayak_centroids.centroid_search_plan(DEPTH, arguments.candidate_k, n_probe=arguments.n_probe)
    report = kayak_centroids.prepare_centroids(collection.index, plan.candidate_generator, backend=backend)  # type: ignore[arg-type]  # the plan's generator is ours
    batch = kayak.query_batch(collection.asked)
    whole, first, second, scan, batched = [], [], [], [], []
    found: list[list[str]] = []
    exact: list[list[str]] = []
    for number in range(arguments.rounds):
        for query in collection.asked:
            start = time.perf_counter()
            result = kayak.search_with_plan(query, collection.index, plan, backend=backend)
            whole.append(time.perf_counter() - start)
            first.append(result.candidate_stage.profile.elapsed_seconds)
            second.append(result.stage2.elapsed_seconds)
            start = time.perf_counter()
            best = kayak.search(query, collection.index, k=DEPTH, backend=backend)
            scan.append(time.perf_counter() - start)
            if number == 0:
                found.append([hit.doc_id for hit in result.hits])
                exact.append([hit.doc_id for hit in best])
        start = time.perf_counter()
        kayak.search_batch_with_plan(batch, collection.index, plan, backend=backend)
        batched.append((time.perf_counter() - start) / len(batch))
    figures = {
        "backend": backend,
        "centroids": report.centroid_count,
        "build_seconds": report.build_seconds,
        "n_probe": arguments.n_probe,
        "candidate_k": arguments.candidate_k,
        "recall": recall(found, exact),
        "plan_ms": statistics.median(whole) * 1e3,
        "stage_1_ms": statistics.median(first) * 1e3,
        "stage_2_ms": statistics.median(second) * 1e3,
        "batch_ms_a_query": min(batched) * 1e3,
        "scan_ms": statistics.median(scan) * 1e3,
        "times_faster_than_the_scan": statistics.median(scan) / statistics.median(whole),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
