"""Exact MaxSim beside its peers and its limits, in one run, on real token vectors.

    python benchmarks/exact_maxsim.py [--data COLLECTION] [--tokens N] [--rounds N] [--json FILE] [--plot FILE]

The documents are a collection encoded by `minilm_tokens.py` (ragged, 128 dimensions), repeated with a little noise up
to `--tokens` vectors; the queries are real query vectors joined to ColBERT's shape, 32 vectors each. Everything runs
on as many threads as the process may use, round by round in turn, and the medians are compared.

Limits: `square SGEMM` is a float32 matrix product with the same number of multiply-adds and as much reuse as there can
be, `one read` is reading the vectors once. No exact scan can be faster than the slower of the two. `SGEMM of this
shape` is the product that NumPy makes of these very matrices; it writes all similarities to memory. Peers that are not
installed are named and left out: `pip install torch==2.13.0 maxsim-cpu`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kayak
import minilm_tokens
import numpy as np
import numpy.typing as npt

QUERY_VECTORS = 32
BATCH = 32
NOISE = 0.02
PADDED_CHUNK = 64
PAUSE_SECONDS = 0.2  # the threads of BLAS libraries keep spinning on their cores for a while after a product
Matrix = npt.NDArray[np.float32]
Case = dict[str, Callable[[], object]]


class Corpus:
    """The documents in every form that a peer wants, made before anything is timed."""

    def __init__(self, tokens: minilm_tokens.TokenVectors, wanted: int) -> None:
        repeats = max(1, round(wanted / len(tokens.vectors)))
        generator = np.random.default_rng(0)
        parts = [tokens.vectors]
        for _ in range(repeats - 1):
            noisy = tokens.vectors + generator.standard_normal(tokens.vectors.shape, dtype=np.float32) * NOISE
            parts.append(noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
        self.vectors: Matrix = np.concatenate(parts)
        self.counts = np.tile(np.diff(tokens.offsets), repeats)
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        self.index = self._index(self.vectors)
        self.index_f16 = self._index(self.vectors.astype(np.float16))

    def _index(self, vectors: npt.NDArray[Any]) -> kayak.LateIndex:
        rows = np.arange(len(self.counts), dtype=np.int64)
        block = kayak.IndexBlock(self.offsets, vectors)
        return kayak.LateIndex(tuple(map(str, rows)), (kayak.IndexSlice(block, None, rows),))

    def document(self, number: int) -> Matrix:
        """Return the vectors of one document."""
        return self.vectors[self.offsets[number] : self.offsets[number + 1]]

    def padded(self) -> list[tuple[Matrix, Matrix]]:
        """Chunks of documents of similar length, padded with zeros, with 0 or -inf to add to each vector's products."""
        order = np.argsort(self.counts, kind="stable")
        chunks = []
        for start in range(0, len(order), PADDED_CHUNK):
            numbers = order[start : start + PADDED_CHUNK]
            longest = int(self.counts[numbers].max())
            matrix = np.zeros((len(numbers), longest, self.vectors.shape[1]), dtype=np.float32)
            mask = np.full((len(numbers), longest, 1), -np.inf, dtype=np.float32)
            for place, number in enumerate(numbers.tolist()):
                matrix[place, : self.counts[number]] = self.document(number)
                mask[place, : self.counts[number]] = 0.0
            chunks.append((matrix, mask))
        return chunks


def query_matrices(tokens: minilm_tokens.TokenVectors, count: int) -> list[Matrix]:
    """Return queries of exactly 32 vectors, cut from the real ones joined together."""
    return [tokens.vectors[i * QUERY_VECTORS : (i + 1) * QUERY_VECTORS].copy() for i in range(count)]


def obvious(corpus: Corpus, query: Matrix) -> Matrix:
    return np.maximum.reduceat(corpus.vectors @ query.T, corpus.offsets[:-1], axis=0).sum(axis=1)


def kayak_cases(corpus: Corpus, queries: list[Matrix]) -> tuple[Case, Case]:
    one = kayak.query(queries[0])
    batch = kayak.query_batch(queries)
    single: Case = {}
    several: Case = {}
    for backend in kayak.available_backends():
        single[backend] = lambda backend=backend: kayak.maxsim(one, corpus.index, backend=backend)
        single[f"{backend}, float16"] = lambda backend=backend: kayak.maxsim(one, corpus.index_f16, backend=backend)
        several[backend] = lambda backend=backend: kayak.maxsim_batch(batch, corpus.index, backend=backend)
    return single, several


def torch_cases(corpus: Corpus, query: Matrix) -> Case:
    import torch

    vectors, matrix = torch.from_numpy(corpus.vectors), torch.from_numpy(query)
    lengths = torch.from_numpy(corpus.counts)
    chunks = [(torch.from_numpy(values), torch.from_numpy(mask)) for values, mask in corpus.padded()]

    def segmented() -> object:
        return torch.segment_reduce(vectors @ matrix.T, "max", lengths=lengths).sum(dim=1)

    def padded_matmul() -> object:
        return [((values @ matrix.T) + mask).amax(dim=1).sum(dim=1) for values, mask in chunks]

    def padded_einsum() -> object:
        return [(torch.einsum("dtk,qk->dtq", values, matrix) + mask).amax(dim=1).sum(dim=1) for values, mask in chunks]

    return {
        "torch matmul + segment_reduce": segmented,
        "torch matmul + amax, padded": padded_matmul,
        "torch einsum + amax, padded": padded_einsum,
    }


def maxsim_cpu_cases(corpus: Corpus, query: Matrix) -> Case:
    import maxsim_cpu

    ragged = [corpus.document(number) for number in range(len(corpus.counts))]
    shortest = int(np.median(corpus.counts))
    equal = np.stack([matrix[:shortest] for matrix in ragged if len(matrix) >= shortest])
    share = equal.shape[0] * shortest / len(corpus.vectors)
    return {
        "maxsim-cpu, variable length": lambda: maxsim_cpu.maxsim_scores_variable(query, ragged),
        f"maxsim-cpu, equal length ({share:.0%} of the vectors)": lambda: maxsim_cpu.maxsim_scores(query, equal),
    }


def limits(vectors: Matrix, query: Matrix) -> Case:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads)
    pieces = np.array_split(vectors, threads)
    products = np.empty((len(vectors), len(query)), dtype=np.float32)
    side = round((vectors.size * len(query)) ** (1 / 3))
    square = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    result = np.empty_like(square)
    return {
        "SGEMM of this shape": lambda: np.matmul(vectors, query.T, out=products),
        "limit: square SGEMM": lambda: np.matmul(square, square, out=result),
        "limit: one read": lambda: list(pool.map(lambda piece: piece.reshape(-1).max(), pieces)),
    }


def rerank_cases(corpus: Corpus, query: Matrix, size: int) -> Case:
    numbers = np.random.default_rng(size).permutation(len(corpus.counts))[:size]
    window = corpus.index.take(numbers)
    gathered = np.concatenate([corpus.document(number) for number in numbers.tolist()])
    one = kayak.query(query)
    cases: Case = {
        backend: lambda backend=backend: kayak.maxsim(one, window, backend=backend)
        for backend in kayak.available_backends()
    }
    return cases | limits(gathered, query)


def overhead_cases() -> Case:
    index = kayak.documents(["a"], [np.eye(2, 128)]).pack()
    one = kayak.query(np.eye(1, 128))
    return {
        backend: lambda backend=backend: kayak.maxsim(one, index, backend=backend)
        for backend in kayak.available_backends()
    }


def measure(cases: Case, rounds: int, repeats: int = 1) -> dict[str, float]:
    """Return each case's median in milliseconds; the cases take turns, so that drift hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, run in cases.items():
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            for _ in range(repeats):
                run()
            if number:  # the first round warms caches and threads
                times[name].append((time.perf_counter() - started) * 1e3 / repeats)
    return {name: statistics.median(values) for name, values in times.items()}


def show(title: str, figures: dict[str, float], unit: str = "ms", scale: float = 1.0) -> None:
    ours = figures.get(kayak.MOJO_EXACT_CPU_BACKEND, figures[kayak.NUMPY_REFERENCE_BACKEND])
    print(f"\n{title}\n{'':44}{'median':>12}{'against ours':>15}")
    for name, value in sorted(figures.items(), key=lambda item: item[1]):
        print(f"{name:44}{value * scale:9.2f} {unit}{value / ours:14.2f}×")


def plot(figures: dict[str, dict[str, float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    chosen = figures["single query"]
    names = sorted(chosen, key=chosen.__getitem__, reverse=True)
    colours = ["#d1702b" if "mojo" in n else "#4a5aa8" if n.startswith("numpy") else "#9aa0ab" for n in names]
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(names) + 1.2), layout="constrained")
    bars = axes.barh(names, [chosen[name] for name in names], color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=9)
    axes.set_xlabel("milliseconds for one exact scan (lower is better)")
    axes.set_title("One query of 32 vectors over all documents", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="token vectors to reach (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the medians, in milliseconds, to this file")
    parser.add_argument("--plot", type=Path, help="write a plot of the single-query scan to this file")
    arguments = parser.parse_args()
    documents, query_tokens = minilm_tokens.load(arguments.data, arguments.cache)
    corpus = Corpus(documents, arguments.tokens)
    queries = query_matrices(query_tokens, BATCH)
    flops = 2 * len(corpus.vectors) * corpus.vectors.shape[1] * QUERY_VECTORS
    print(
        f"{len(corpus.counts)} documents of {arguments.data.name}, {len(corpus.vectors)} vectors × 128, "
        f"{flops / 1e9:.1f} GFLOP a query; NumPy {np.__version__}, load {os.getloadavg()[0]:.1f}"
    )

    single, several = kayak_cases(corpus, queries)
    single |= {"obvious NumPy line": lambda: obvious(corpus, queries[0])} | limits(corpus.vectors, queries[0])
    for package, make in (("torch", torch_cases), ("maxsim_cpu", maxsim_cpu_cases)):
        if importlib.util.find_spec(package):
            single |= make(corpus, queries[0])
        else:
            print(f"{package} is not installed and left out")
    wide = limits(corpus.vectors, np.concatenate(queries))
    several |= {name: wide[name] for name in ("SGEMM of this shape", "limit: square SGEMM")}

    figures: dict[str, dict[str, float]] = {}
    for title, cases, repeats in (
        ("single query", single, 1),
        (f"batch of {BATCH} queries", several, 1),
        ("rerank of 100", rerank_cases(corpus, queries[0], 100), 20),
        ("rerank of 1,000", rerank_cases(corpus, queries[0], 1000), 5),
    ):
        figures[title] = measure(cases, arguments.rounds, repeats)
        show(title, figures[title])
    figures["overhead"] = measure(overhead_cases(), arguments.rounds, 2000)
    show("one document of two vectors: the cost of a call", figures["overhead"], "µs", 1e3)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(figures, arguments.plot)


if __name__ == "__main__":
    main()
