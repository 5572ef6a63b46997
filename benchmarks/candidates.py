"""Centroid interaction beside the exact scan and fast-plaid: recall, latency, build, and cost against size, in one run.

    python benchmarks/candidates.py [--data COLLECTION] [--plaid-python PYTHON] [--scale N ...] [--json FILE]
        [--plot FILE]

All queries of a collection encoded by `minilm_tokens.py`, one after the other, on as many threads as the process may
use. Recall is that of the exact scan's top 10. `--plaid-python` is an interpreter that has fast-plaid. `--scale` sizes
a corpus by repeating the collection's first vectors of each document with noise: its cost is real, its recall is not
that of real documents.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import statistics
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import kayak
import kayak_centroids
import minilm_tokens
import numpy as np
import numpy.typing as npt

DEPTH = 10
PROBES = (4, 8, 16, 32)
WINDOWS = (50, 100, 200, 400)
NOISE = 0.02
SCALE_QUERIES = 100
MOJO, NUMPY = kayak.MOJO_EXACT_CPU_BACKEND, kayak.NUMPY_REFERENCE_BACKEND
Figures = dict[str, Any]


class Collection:
    """Documents, queries and judgements."""

    def __init__(self, data: Path, cache: Path) -> None:
        self.name = data.name
        self.documents, self.queries = minilm_tokens.load(data, cache)
        self.index = index_of(self.documents.offsets, self.documents.vectors, self.documents.ids)
        bounds = self.queries.offsets.tolist()
        self.asked = [kayak.query(self.queries.vectors[a:b]) for a, b in pairwise(bounds)]
        self.qrels: dict[str, dict[str, int]] = {}
        with (data / "qrels" / "test.tsv").open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                self.qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])

    def ndcg(self, rankings: list[list[str]]) -> float:
        """Mean nDCG@10 over the judged queries, linear gains."""
        values = []
        for query_id, ranking in zip(self.queries.ids, rankings, strict=True):
            gains = self.qrels.get(query_id, {})
            ideal = sorted((gain for gain in gains.values() if gain > 0), reverse=True)[:DEPTH]
            if ideal:
                found = [max(gains.get(doc_id, 0), 0) for doc_id in ranking[:DEPTH]]
                values.append(discounted(found) / discounted(ideal))
        return statistics.mean(values)


def discounted(gains: list[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def index_of(offsets: npt.NDArray[np.int64], vectors: npt.NDArray[Any], ids: list[str]) -> kayak.LateIndex:
    block = kayak.IndexBlock(offsets, vectors)
    return kayak.LateIndex(tuple(ids), (kayak.IndexSlice(block, None, np.arange(len(ids))),))


def recall(found: list[list[str]], exact: list[list[str]]) -> float:
    overlap = (len(set(some) & set(best)) / len(best) for some, best in zip(found, exact, strict=True))
    return statistics.mean(overlap)


def timed(search: Any, asked: list[kayak.LateQuery]) -> tuple[list[list[str]], list[float]]:
    hits, seconds = [], []
    search(asked[0])
    for query in asked:
        start = time.perf_counter()
        found = search(query)
        seconds.append(time.perf_counter() - start)
        hits.append([hit.doc_id for hit in found])
    return hits, seconds


def row(
    name: str, collection: Collection, exact: list[list[str]], hits: list[list[str]], seconds: list[float]
) -> Figures:
    figures = {
        "name": name,
        "recall": recall(hits, exact),
        "ndcg": collection.ndcg(hits),
        "p50_ms": statistics.median(seconds) * 1e3,
        "mean_ms": statistics.mean(seconds) * 1e3,
        "p95_ms": statistics.quantiles(seconds, n=20)[-1] * 1e3,
    }
    print(
        f"{name:44} recall {figures['recall']:.4f}  nDCG {figures['ndcg']:.4f}  p50 {figures['p50_ms']:8.2f} ms  "
        f"mean {figures['mean_ms']:8.2f} ms  load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return figures


def centroid_rows(collection: Collection, exact: list[list[str]], backend: str) -> tuple[Figures, list[Figures]]:
    index = index_of(collection.documents.offsets, collection.documents.vectors, collection.documents.ids)
    generator = kayak_centroids.centroid_interaction_candidate_generator()
    report = kayak_centroids.prepare_centroids(index, generator, backend=backend)
    print(f"{backend}: {report.centroid_count} centroids built in {report.build_seconds:.1f} s", flush=True)
    rows = []
    for probes in PROBES:
        for window in WINDOWS:
            plan = kayak_centroids.centroid_search_plan(DEPTH, window, n_probe=probes)
            hits, seconds = timed(
                lambda query, plan=plan: kayak.search_with_plan(query, index, plan, backend=backend).hits,
                collection.asked,
            )
            name = f"centroids, {backend}, n_probe {probes}, window {window}"
            rows.append(row(name, collection, exact, hits, seconds) | {"n_probe": probes, "candidate_k": window})
    built = {
        "build_seconds": report.build_seconds,
        "centroids": report.centroid_count,
        "byte_size": report.byte_size,
        "mean_cosine": report.mean_cosine,
        "tail_documents": len(report.tail_doc_ids),
    }
    return built, rows


def plaid_rows(collection: Collection, exact: list[list[str]], python: Path) -> tuple[Figures, list[Figures]]:
    with tempfile.TemporaryDirectory() as folder:
        vectors, results = Path(folder) / "vectors.npz", Path(folder) / "results.json"
        np.savez(
            vectors,
            vectors=collection.documents.vectors,
            offsets=collection.documents.offsets,
            query_vectors=collection.queries.vectors,
            query_offsets=collection.queries.offsets,
        )
        peer = Path(__file__).with_name("plaid_peer.py")
        subprocess.run([str(python), str(peer), str(vectors), str(results)], check=True)
        figures = json.loads(results.read_text(encoding="utf-8"))
    rows = []
    for setting in figures.pop("settings"):
        hits = [[collection.documents.ids[number] for number in numbers] for numbers in setting["hits"]]
        name = f"fast-plaid, n_ivf_probe {setting['n_ivf_probe']}, n_full_scores {setting['n_full_scores']}"
        rows.append(row(name, collection, exact, hits, setting["seconds"]))
    print(f"fast-plaid {figures['version']}: built in {figures['build_seconds']:.1f} s", flush=True)
    return figures, rows


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


def scale_rows(collection: Collection, counts: list[int], length: int, backend: str) -> Figures:
    rows = []
    asked = collection.asked[:SCALE_QUERIES]
    for count in counts:
        index = scaled(collection, count, length)
        report = kayak_centroids.prepare_centroids(index, kayak_centroids.CentroidInteraction(), backend=backend)
        plan = kayak_centroids.centroid_search_plan(DEPTH, 200)
        _, seconds = timed(
            lambda query, index=index, plan=plan: kayak.search_with_plan(query, index, plan, backend=backend).hits,
            asked,
        )
        few = asked[: max(3, min(len(asked), 1_000_000 // count))]
        _, scan = timed(lambda query, index=index: kayak.search(query, index, k=DEPTH, backend=backend), few)
        rows.append(
            {
                "documents": count,
                "centroids": report.centroid_count,
                "build_seconds": report.build_seconds,
                "p50_ms": statistics.median(seconds) * 1e3,
                "scan_p50_ms": statistics.median(scan) * 1e3,
            }
        )
        print(rows[-1], f"load {os.getloadavg()[0]:.1f}", flush=True)
    sizes = np.log([each["documents"] for each in rows])
    return {
        "vectors_a_document": length,
        "rows": rows,
        "exponent": float(np.polyfit(sizes, np.log([each["p50_ms"] for each in rows]), 1)[0]),
        "scan_exponent": float(np.polyfit(sizes, np.log([each["scan_p50_ms"] for each in rows]), 1)[0]),
    }


def plot(figures: Figures, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    columns = 2 if "scale" in figures else 1
    figure, panels = plt.subplots(1, columns, figsize=(5.4 * columns, 4), layout="constrained", squeeze=False)
    axes = panels[0][0]
    for name, label, colour, marker in (
        (MOJO, "centroids + Mojo", "#d1702b", "o"),
        (NUMPY, "centroids + NumPy", "#4a5aa8", "s"),
        ("fast-plaid", "fast-plaid, 4 bits", "#9aa0ab", "^"),
    ):
        if name in figures["rows"]:
            rows = figures["rows"][name]
            axes.scatter(
                [r["p50_ms"] for r in rows], [r["recall"] for r in rows], s=22, c=colour, marker=marker, label=label
            )
    for name, colour in ((MOJO, "#d1702b"), (NUMPY, "#4a5aa8")):
        if name in figures["exact"]:
            axes.axvline(figures["exact"][name]["p50_ms"], color=colour, linestyle=":", linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds a query, median (dotted: exact scan)")
    axes.set_ylabel("recall of the exact top 10")
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(f"{figures['collection']}: {figures['documents']} documents", loc="left", fontsize=11)
    if columns == 2:
        axes = panels[0][1]
        rows = figures["scale"]["rows"]
        sizes = [r["documents"] for r in rows]
        axes.plot(sizes, [r["scan_p50_ms"] for r in rows], "o:", color="#9aa0ab", label="exact scan")
        axes.plot(sizes, [r["p50_ms"] for r in rows], "o-", color="#d1702b", label="centroids, window 200")
        axes.set_xscale("log")
        axes.set_yscale("log")
        length = figures["scale"]["vectors_a_document"]
        axes.set_xlabel(f"documents (repeated with noise, {length} vectors each)")
        axes.set_ylabel("milliseconds a query, median")
        axes.legend(frameon=False, fontsize=9)
        axes.set_title(f"cost grows as size^{figures['scale']['exponent']:.2f}", loc="left", fontsize=11)
    for panel in panels[0]:
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--plaid-python", type=Path, help="an interpreter that has fast-plaid; left out otherwise")
    parser.add_argument("--scale", type=int, nargs="*", default=[], help="documents of the scaled corpora")
    parser.add_argument(
        "--scale-vectors", type=int, default=16, help="vectors of their documents (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="write the plot to this file")
    arguments = parser.parse_args()
    collection = Collection(arguments.data, arguments.cache)
    figures: Figures = {
        "collection": collection.name,
        "documents": collection.index.document_count,
        "vectors": collection.index.total_vector_count,
        "queries": len(collection.asked),
        "processor": platform.processor() or platform.machine(),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "exact": {},
        "built": {},
        "rows": {},
    }
    backends = [backend for backend in (MOJO, NUMPY) if backend in kayak.available_backends()]
    exact: list[list[str]] = []
    for backend in backends:
        hits, seconds = timed(
            lambda query, backend=backend: kayak.search(query, collection.index, k=DEPTH, backend=backend),
            collection.asked,
        )
        exact = exact or hits
        figures["exact"][backend] = row(f"exact scan, {backend}", collection, exact, hits, seconds)
    for backend in backends:
        figures["built"][backend], figures["rows"][backend] = centroid_rows(collection, exact, backend)
    if arguments.plaid_python:
        figures["built"]["fast-plaid"], figures["rows"]["fast-plaid"] = plaid_rows(
            collection, exact, arguments.plaid_python
        )
    if arguments.scale:
        figures["scale"] = scale_rows(collection, arguments.scale, arguments.scale_vectors, backends[0])
    figures["load_after"] = os.getloadavg()[0]
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(figures, arguments.plot)


if __name__ == "__main__":
    main()
