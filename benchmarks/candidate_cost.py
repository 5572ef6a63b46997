"""Cost of centroid interaction against the size of the corpus: measured up to 10⁶ documents, simulated beyond.

The measured corpora repeat the first vectors of each document of a collection, with noise: their cost is real, their
recall is not that of real documents. The model of a query has five terms, all in what the method does:

    seconds = overhead + probe · Q·K·dim + lists · Q·n_probe·postings/K + pass · documents + rescore · window·V·Q·dim

with Q vectors a query, V vectors a document and K centroids by the rule of `default_centroid_count`. Its rates are
fitted to measured times, none below zero, so that relative errors are least. The largest size is predicted by rates
that were fitted without it; the final rates use everything.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from itertools import combinations

import kayak
import kayak_centroids
import numpy as np
import numpy.typing as npt
from candidate_measures import (
    DEFAULT_PROBES,
    DEFAULT_WINDOW,
    DEPTH,
    NOISE,
    Collection,
    Figures,
    Search,
    build,
    index_of,
    plan_search,
    timed,
)

QUERIES = 100
ROUNDS = 3
SIMULATED = tuple(round(10 ** (half / 2)) for half in range(6, 17))
SETTINGS = ((16, 200), (4, 200), (32, 200), (16, 50))  # n_probe, window; the first is the plan's default
MORE_CENTROIDS = 4096
Vector = npt.NDArray[np.float64]
Terms = Callable[[Figures], Vector]


def scaled(collection: Collection, count: int, length: int) -> kayak.LateIndex:
    """Repeat the first vectors of each document, with noise, until there are `count` documents."""
    starts = collection.documents.offsets[:-1][collection.index.counts >= length]
    rows = starts[:, np.newaxis] + np.arange(length)
    generator = np.random.default_rng(0)
    vectors = np.empty((count, length, collection.index.vector_dim), dtype=np.float16)
    for first in range(0, count, len(rows)):
        chosen = rows[: min(len(rows), count - first)]
        noisy = collection.documents.vectors[chosen]
        noisy = noisy + generator.standard_normal(noisy.shape, dtype=np.float32) * NOISE
        vectors[first : first + len(chosen)] = noisy / np.linalg.norm(noisy, axis=2, keepdims=True)
    offsets = np.arange(count + 1, dtype=np.int64) * length
    return index_of(offsets, vectors.reshape(-1, vectors.shape[2]), [str(i) for i in range(count)])


def measure(collection: Collection, counts: Sequence[int], length: int, backend: str) -> Figures:
    """Time builds, plans and scans of corpora of growing size."""
    asked = collection.asked[:QUERIES]
    rows = []
    for count in counts:
        index = scaled(collection, count, length)
        row = {"documents": count, **_built_and_searched(index, asked, None, SETTINGS, backend)}
        # A scan of the largest takes a quarter of a second.
        few = asked[: max(10, min(len(asked), 2_000_000 // count))]
        row["scan_p50_ms"] = least_median(
            lambda query, index=index: kayak.search(query, index, k=DEPTH, backend=backend), few
        )
        rows.append(row)
        print(
            f"{count:>9,} documents: built in {row['build_seconds']:6.2f} s, query {row['p50_ms']:7.2f} ms, "
            f"scan {row['scan_p50_ms']:7.2f} ms  load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    sizes = np.log([row["documents"] for row in rows])
    return {
        "vectors_a_document": length,
        "dimension": collection.index.vector_dim,
        "query_vectors": statistics.median(query.vector_count for query in asked),
        "rows": rows,
        "more_centroids": [_with_more_centroids(collection, count, length, backend) for count in counts[1:3]],
        "exponent": _slope(sizes, rows, "p50_ms"),
        "scan_exponent": _slope(sizes, rows, "scan_p50_ms"),
        "build_exponent": _slope(sizes, rows, "build_seconds"),
    }


def least_median(search: Search, asked: Sequence[kayak.LateQuery]) -> float:
    """Return the median over queries, in milliseconds, of the least time of several rounds."""
    rounds = [timed(search, asked)[1] for _ in range(ROUNDS)]
    return statistics.median(map(min, zip(*rounds, strict=True))) * 1e3


def _slope(sizes: Vector, rows: Sequence[Figures], key: str) -> float | None:
    return float(np.polyfit(sizes, np.log([row[key] for row in rows]), 1)[0]) if len(rows) > 1 else None


def _with_more_centroids(collection: Collection, count: int, length: int, backend: str) -> Figures:
    """Search a corpus with more centroids than it needs: else all grows together, and no rate can be told."""
    wanted = min(MORE_CENTROIDS, count)
    asked = collection.asked[:QUERIES]
    found = _built_and_searched(scaled(collection, count, length), asked, wanted, SETTINGS[:1], backend)
    return {"documents": count, **found}


def _built_and_searched(
    index: kayak.LateIndex,
    asked: Sequence[kayak.LateQuery],
    n_centroids: int | None,
    settings: Sequence[tuple[int, int]],
    backend: str,
) -> Figures:
    built = build(index, kayak_centroids.CentroidInteraction(n_centroids=n_centroids), backend)
    searched = []
    for probes, window in settings:
        plan = kayak_centroids.centroid_search_plan(DEPTH, window, n_probe=probes, n_centroids=n_centroids)
        least = least_median(plan_search(index, plan, backend), asked)
        searched.append({"n_probe": probes, "candidate_k": window, "p50_ms": least})
    return built | {"p50_ms": searched[0]["p50_ms"], "settings": searched}


def simulate(cost: Figures, collection: Figures | None, backend: str) -> Figures:
    """Fit the model to measured times and follow it to 10⁸ documents.

    Args:
        cost: what `measure` returned.
        collection: figures of real documents, whose times join those of the repeated ones; None without.
        backend: whose times are meant.
    """
    length, vectors_a_query, dimension = (cost[k] for k in ("vectors_a_document", "query_vectors", "dimension"))
    queries, builds = [], []
    for row in (*cost["rows"], *cost["more_centroids"]):
        shape = {"length": length, "query": vectors_a_query, "dim": dimension, "real": False}
        shape |= {key: row[key] for key in ("documents", "centroids", "postings")}
        queries += [shape | setting for setting in row["settings"]]
        builds.append(shape | {"seconds": row["build_seconds"]})
    real_length = None
    if collection is not None:
        real_length = collection["vectors"] / collection["documents"]
        shape = {"length": real_length, "query": collection["query_vectors"], "dim": dimension, "real": True}
        shape |= {key: collection["built"][backend][key] for key in ("centroids", "postings")}
        shape["documents"] = collection["documents"]
        queries += [
            shape | {k: r[k] for k in ("n_probe", "candidate_k", "p50_ms")} for r in collection["rows"][backend]
        ]
        builds.append(shape | {"seconds": collection["built"][backend]["build_seconds"]})
    largest = max(row["documents"] for row in cost["rows"])
    rates = fit(queries, _query_terms, "p50_ms")
    build_rates = fit(builds, _build_terms, "seconds")
    scan_rate = statistics.mean(row["scan_p50_ms"] / row["documents"] for row in cost["rows"][-2:])
    return {
        "query_terms": ["overhead", "probe", "lists", "pass", "rescore"],
        "milliseconds_a_unit": rates.tolist(),
        "build_terms": ["overhead", "multiply", "vectors", "documents"],
        "seconds_a_unit": build_rates.tolist(),
        "held_out": {
            "documents": largest,
            "query": _held_out(queries, _query_terms, "p50_ms", largest),
            "build": _held_out(builds, _build_terms, "seconds", largest),
        },
        "error_over_all": float(
            np.mean([abs(float(_query_terms(each) @ rates) / each["p50_ms"] - 1) for each in queries])
        ),
        "curves": [
            {
                "vectors_a_document": round(each, 1),
                "rows": [
                    _simulated(count, each, vectors_a_query, dimension, rates, build_rates, scan_rate / length * each)
                    for count in SIMULATED
                ],
            }
            for each in (length, real_length)
            if each is not None
        ],
    }


def _held_out(rows: Sequence[Figures], terms: Terms, key: str, largest: int) -> Figures | None:
    """Predict the largest size by rates that were fitted to the others."""
    kept = [row for row in rows if row["documents"] != largest]
    (target, *_) = [row for row in rows if row["documents"] == largest]
    if len(kept) < 2:
        return None
    predicted = float(terms(target) @ fit(kept, terms, key))
    return {"measured": target[key], "predicted": predicted, "error": predicted / target[key] - 1}


def _query_terms(shape: Figures) -> Vector:
    query, centroids = shape["query"], shape["centroids"]
    return np.array(
        [
            1.0,
            query * centroids * shape["dim"],
            query * shape["n_probe"] * shape["postings"] / centroids,
            shape["documents"],
            min(shape["candidate_k"], shape["documents"]) * shape["length"] * query * shape["dim"],
        ]
    )


def _build_terms(shape: Figures) -> Vector:
    vectors = shape["documents"] * shape["length"]
    choice = kayak_centroids.CentroidInteraction()
    sample = min(vectors, choice.sample_per_centroid * shape["centroids"])
    multiplied = (vectors + choice.iterations * sample) * shape["centroids"] * shape["dim"]
    return np.array([1.0, multiplied, vectors, shape["documents"]])


def fit(rows: Sequence[Figures], terms: Terms, key: str) -> Vector:
    """Return the rates, none below zero, whose relative errors have the least squares: the best of all subsets."""
    matrix = np.array([terms(row) / row[key] for row in rows])
    scale = np.linalg.norm(matrix, axis=0)
    matrix = matrix / scale
    best, least = np.zeros(matrix.shape[1]), float("inf")
    for size in range(1, matrix.shape[1] + 1):
        for chosen in map(list, combinations(range(matrix.shape[1]), size)):
            found = np.linalg.lstsq(matrix[:, chosen], np.ones(len(rows)))[0]
            error = float(np.square(matrix[:, chosen] @ found - 1).sum())
            if (found >= 0).all() and error < least:
                best, least = np.zeros(matrix.shape[1]), error
                best[chosen] = found
    return best / scale


def _simulated(
    count: int, length: float, query: float, dimension: int, rates: Vector, build_rates: Vector, scan_rate: float
) -> Figures:
    vectors = round(count * length)
    shape = {
        "documents": count,
        "length": length,
        "query": query,
        "dim": dimension,
        "centroids": kayak_centroids.default_centroid_count(vectors),
        "postings": vectors,  # at most one a vector
        "n_probe": DEFAULT_PROBES,
        "candidate_k": DEFAULT_WINDOW,
    }
    parts = _query_terms(shape) * rates
    return {
        "documents": count,
        "centroids": shape["centroids"],
        "query_ms": float(parts.sum()),
        "parts_ms": parts.tolist(),
        "scan_ms": scan_rate * count,
        "build_seconds": float(_build_terms(shape) @ build_rates),
        "structure_bytes": 4 * (shape["centroids"] * dimension + vectors + count) + 8 * shape["centroids"],
        "vector_bytes": 4 * vectors * dimension,
    }
