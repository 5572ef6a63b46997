"""What `candidates.py` measures on a collection: exact scans, centroid interaction, and PLAID engines beside them."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import kayak
import kayak_centroids
import minilm_tokens
import numpy as np
import numpy.typing as npt

DEPTH = 10
PROBES = (4, 8, 16, 32)
WINDOWS = (50, 100, 150, 200, 400)
NOISE = 0.02
"""Standard deviation of what is added to each component of repeated vectors."""

CENTROID_COUNTS = (1024, 2048, 4096, 8192)
DEFAULT_PROBES, DEFAULT_WINDOW = 16, 200
MOJO, NUMPY = kayak.MOJO_EXACT_CPU_BACKEND, kayak.NUMPY_REFERENCE_BACKEND
Figures = dict[str, Any]
Search = Callable[[kayak.LateQuery], Sequence[kayak.SearchHit]]


class Collection:
    """Documents, judged queries and judgements of one collection, or of several as one."""

    def __init__(self, folders: Sequence[Path], cache: Path) -> None:
        self.name = " + ".join(sorted(folder.name for folder in folders))
        self.documents, queries = minilm_tokens.load_together(folders, cache)
        self.index = index_of(self.documents.offsets, self.documents.vectors, self.documents.ids)
        self.qrels: dict[str, dict[str, int]] = {}
        self.origins: dict[str, str] = {}
        for folder in folders:
            with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as lines:
                for judged in csv.DictReader(lines, delimiter="\t"):
                    query_id, doc_id = (
                        minilm_tokens.text_id(folder, folders, judged[column]) for column in ("query-id", "corpus-id")
                    )
                    self.qrels.setdefault(query_id, {})[doc_id] = int(judged["score"])
                    self.origins[query_id] = folder.name
        matrices = (queries.vectors[a:b] for a, b in pairwise(queries.offsets.tolist()))
        chosen = {
            query_id: matrix for query_id, matrix in zip(queries.ids, matrices, strict=True) if query_id in self.qrels
        }
        self.query_ids = list(chosen)
        self.matrices = list(chosen.values())
        self.asked = [kayak.query(matrix) for matrix in self.matrices]

    def ndcg(self, rankings: Sequence[Sequence[str]], every: int = 1) -> dict[str, float]:
        """Mean nDCG@10 of each `every`-th query with a relevant document, linear gains, by collection."""
        values: dict[str, list[float]] = {}
        for query_id, ranking in zip(self.query_ids[::every], rankings, strict=True):
            gains = self.qrels[query_id]
            ideal = sorted((gain for gain in gains.values() if gain > 0), reverse=True)[:DEPTH]
            if ideal:
                found = [max(gains.get(doc_id, 0), 0) for doc_id in ranking[:DEPTH]]
                values.setdefault(self.origins[query_id], []).append(discounted(found) / discounted(ideal))
        return {name: statistics.mean(each) for name, each in sorted(values.items())}

    def description(self) -> Figures:
        return {
            "collection": self.name,
            "documents": self.index.document_count,
            "vectors": self.index.total_vector_count,
            "dimension": self.index.vector_dim,
            "queries": len(self.asked),
            "query_vectors": statistics.median(query.vector_count for query in self.asked),
            "vector_bytes": self.index.vector_byte_size,
        }


def discounted(gains: list[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def index_of(offsets: npt.NDArray[np.int64], vectors: npt.NDArray[Any], ids: list[str]) -> kayak.LateIndex:
    block = kayak.IndexBlock(offsets, vectors)
    return kayak.LateIndex(tuple(ids), (kayak.IndexSlice(block, None, np.arange(len(ids))),))


def recalls(hits: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> list[float]:
    """Return the share of each query's exact hits that was found."""
    return [len(set(some) & set(best)) / len(best) for some, best in zip(hits, exact, strict=True)]


def recall(hits: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> float:
    return statistics.mean(recalls(hits, exact))


def timed(search: Search, asked: Sequence[kayak.LateQuery]) -> tuple[list[list[str]], list[float]]:
    """Ask one query after the other, after one untimed."""
    hits, seconds = [], []
    search(asked[0])
    for query in asked:
        start = time.perf_counter()
        found = search(query)
        seconds.append(time.perf_counter() - start)
        hits.append([hit.doc_id for hit in found])
    return hits, seconds


@attrs.frozen
class Measured:
    """A collection with its exact ranking, and how settings are set down beside it."""

    collection: Collection
    exact: list[list[str]]

    def row(self, name: str, hits: list[list[str]], seconds: list[float], every: int = 1) -> Figures:
        """Return the figures of a setting that answered each `every`-th query, and print them."""
        exact = self.exact[::every]
        found = recalls(hits, exact)
        quality = self.collection.ndcg(hits, every)
        figures: Figures = {
            "name": name,
            "queries": len(hits),
            "every": every,
            "recall": statistics.mean(found),
            "ndcg": quality,
            "p50_ms": statistics.median(seconds) * 1e3,
            "mean_ms": statistics.mean(seconds) * 1e3,
            "p95_ms": statistics.quantiles(seconds, n=20)[-1] * 1e3,
            # Query by query, so that settings are compared over the same queries.
            "recalls": [round(value, 6) for value in found],
            "milliseconds": [round(value * 1e3, 4) for value in seconds],
        }
        shown = " ".join(f"{value:.4f}" for value in quality.values())
        print(
            f"{name:48} recall {figures['recall']:.4f}  nDCG {shown}  p50 {figures['p50_ms']:8.2f} ms  "
            f"mean {figures['mean_ms']:8.2f} ms  load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        return figures


def exact_rows(collection: Collection, backends: Sequence[str]) -> tuple[Measured, dict[str, Figures]]:
    """Scan with each backend; the first one's ranking is what recall is measured against."""
    measured: Measured | None = None
    rows = {}
    for backend in backends:
        hits, seconds = timed(
            lambda query, backend=backend: kayak.search(query, collection.index, k=DEPTH, backend=backend),
            collection.asked,
        )
        measured = measured or Measured(collection, hits)
        rows[backend] = measured.row(f"exact scan, {backend}", hits, seconds)
    if measured is None:
        raise SystemExit("no backend is available")
    return measured, rows


def centroid_rows(measured: Measured, backend: str) -> Iterator[Figures]:
    """Build centroids and yield what that took; then search through windows and probes of several sizes."""
    index = fresh(measured.collection)
    yield build(index, kayak_centroids.centroid_interaction_candidate_generator(), backend)
    for probes in PROBES:
        for window in WINDOWS:
            plan = kayak_centroids.centroid_search_plan(DEPTH, window, n_probe=probes)
            hits, seconds = timed(plan_search(index, plan, backend), measured.collection.asked)
            name = f"centroids, {backend}, n_probe {probes}, window {window}"
            yield measured.row(name, hits, seconds) | {"n_probe": probes, "candidate_k": window}


def count_rows(measured: Measured, backend: str) -> list[Figures]:
    """Build with several numbers of centroids, and search with the plan's defaults."""
    rows = []
    for count in CENTROID_COUNTS:
        index = fresh(measured.collection)
        built = build(index, kayak_centroids.CentroidInteraction(n_centroids=count), backend)
        plan = kayak_centroids.centroid_search_plan(DEPTH, DEFAULT_WINDOW, n_probe=DEFAULT_PROBES, n_centroids=count)
        hits, seconds = timed(plan_search(index, plan, backend), measured.collection.asked)
        rows.append(built | measured.row(f"{count} centroids", hits, seconds))
    return rows


def fresh(collection: Collection) -> kayak.LateIndex:
    """Return an index of the collection for which nothing is prepared."""
    return index_of(collection.documents.offsets, collection.documents.vectors, collection.documents.ids)


def build(index: kayak.LateIndex, generator: kayak_centroids.CentroidInteraction, backend: str) -> Figures:
    report = kayak_centroids.prepare_centroids(index, generator, backend=backend)
    print(f"{backend}: {report.centroid_count} centroids built in {report.build_seconds:.1f} s", flush=True)
    return {
        "build_seconds": report.build_seconds,
        "centroids": report.centroid_count,
        "postings": report.posting_count,
        "byte_size": report.byte_size,
        "mean_cosine": report.mean_cosine,
        "tail_documents": len(report.tail_doc_ids),
    }


def plan_search(index: kayak.LateIndex, plan: kayak.SearchPlan, backend: str) -> Search:
    return lambda query: kayak.search_with_plan(query, index, plan, backend=backend).hits


def peer_figures(measured: Measured, python: Path, engine: str) -> Iterator[tuple[str, Figures]]:
    """Run an engine of `plaid_peer.py`; yield its name with what building took, then with each setting.

    Raises:
        CalledProcessError: it did not reach its end; what it had yielded until then holds.
    """
    collection = measured.collection
    with tempfile.TemporaryDirectory() as folder:
        vectors = Path(folder) / "vectors.npz"
        np.savez(
            vectors,
            vectors=collection.documents.vectors,
            offsets=collection.documents.offsets,
            query_vectors=np.concatenate(collection.matrices),
            query_offsets=np.cumsum([0, *map(len, collection.matrices)]),
        )
        command = [str(python), str(Path(__file__).with_name("plaid_peer.py")), str(vectors), engine]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
            for line in process.stdout or ():
                told = json.loads(line)
                name = told.pop("engine")
                if "hits" in told:
                    hits = [[collection.documents.ids[number] for number in numbers] for numbers in told.pop("hits")]
                    title = f"{name}, n_ivf_probe {told['n_ivf_probe']}, n_full_scores {told['n_full_scores']}"
                    told |= measured.row(title, hits, told.pop("seconds"), told["every"])
                else:
                    print(f"{name}: built in {told['build_seconds']:.1f} s", flush=True)
                yield name, told
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
