"""Measure the `numpy_reference` executor on a real collection, side by side with what bounds it.

Every contender runs once a round, rounds are repeated, and medians are compared: whatever else loads the machine
loads all of them. Read the ratios; the milliseconds belong to the machine and the hour.

    python benchmarks/numpy_maxsim.py --data path/to/collection --tokens 1000000 --json result.json

The collection is a folder in BEIR layout (`corpus.jsonl`, `queries.jsonl`). Its texts are encoded with the `hashing`
encoder; copies with noise are added until there are as many token vectors as asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import kayak
import numpy as np
from numpy.typing import NDArray

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cranfield"
BATCH = 32
GROUP_ROWS = 2048


def read_jsonl(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def encode_corpus(encoder: kayak.LateTextEncoder, folder: Path, tokens: int) -> kayak.LateIndex:
    """Encode the collection, and add noisy copies of it until it holds `tokens` vectors."""
    rows = [
        (row["_id"], f"{row.get('title', '')} {row['text']}".strip()) for row in read_jsonl(folder / "corpus.jsonl")
    ]
    texts = {doc_id: text for doc_id, text in rows if text}
    print(f"{len(texts)} documents of {folder.name}, {len(rows) - len(texts)} without text left out")
    index = encoder.encode_documents(list(texts), list(texts.values())).pack()
    vectors, counts = index.token_vectors, np.asarray(index.vector_counts)
    rng = np.random.default_rng(0)
    ids, parts, lengths = list(index.doc_ids), [vectors], [counts]
    while sum(map(len, parts)) < tokens:
        noisy = vectors + rng.standard_normal(vectors.shape, np.float32) * np.float32(0.2 / vectors.shape[1] ** 0.5)
        noisy *= np.linalg.norm(vectors, axis=1, keepdims=True) / np.linalg.norm(noisy, axis=1, keepdims=True)
        ids += [f"{doc_id}#{len(parts)}" for doc_id in index.doc_ids]
        parts.append(noisy)
        lengths.append(counts)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return kayak.packed_index(ids, offsets, np.concatenate(parts))


def obvious(query: NDArray[np.float32], index: kayak.LateIndex) -> NDArray[np.float32]:
    return np.maximum.reduceat(index.token_vectors @ query.T, index.doc_offsets[:-1], axis=0).sum(axis=1)


def products_only(query: NDArray[np.float32], vectors: NDArray[np.float32], buffer: NDArray[np.float32]) -> None:
    """The matrix products that MaxSim needs, in groups whose results stay in cache, and nothing else."""
    for start in range(0, len(vectors), GROUP_ROWS):
        rows = vectors[start : start + GROUP_ROWS]
        np.matmul(rows, query.T, out=buffer[: len(rows)])


def peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contender over interleaved rounds, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            if round_number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--tokens", type=int, default=500_000, help="token vectors to reach (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not (arguments.data / "corpus.jsonl").is_file():
        parser.error(f"{arguments.data} holds no corpus.jsonl; pass a collection in BEIR layout with --data")
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")

    encoder = kayak.open_encoder("hashing")
    index = encode_corpus(encoder, arguments.data, arguments.tokens)
    queries = [encoder.encode_query(row["text"]) for row in read_jsonl(arguments.data / "queries.jsonl")[:BATCH]]
    batch = kayak.query_batch(queries)
    # The query of median length stands for one query; the batch holds all of them.
    query = sorted(queries, key=lambda candidate: candidate.vector_count)[len(queries) // 2]
    matrix, vectors = query.as_vector_matrix(), index.token_vectors
    batch_matrix = np.concatenate([each.as_vector_matrix() for each in queries])
    narrow = np.empty((GROUP_ROWS, len(matrix)), np.float32)
    wide = np.empty((GROUP_ROWS, len(batch_matrix)), np.float32)
    rng = np.random.default_rng(1)
    windows = {
        size: index.select([index.doc_ids[i] for i in rng.choice(index.document_count, size, replace=False)])
        for size in (100, 1000)
        if size <= index.document_count
    }
    single, together = "one query: kayak.maxsim", f"{len(queries)} queries: kayak.maxsim_batch"
    contenders: dict[str, Callable[[], object]] = {
        single: lambda: kayak.maxsim(query, index),
        "one query: obvious line": lambda: obvious(matrix, index),
        "one query: products only": lambda: products_only(matrix, vectors, narrow),
        "reading the vectors once": vectors.max,
        together: lambda: kayak.maxsim_batch(batch, index),
        f"{len(queries)} queries: one call each": lambda: [kayak.maxsim(each, index) for each in queries],
        f"{len(queries)} queries: products only": lambda: products_only(batch_matrix, vectors, wide),
    }
    for size, window in windows.items():
        contenders[f"one query: rerank {size}"] = lambda window=window: kayak.maxsim(query, window)

    print(
        f"{index.document_count} documents, {index.total_vector_count} vectors of {index.vector_dim}; "
        f"one query of {query.vector_count} vectors, {len(queries)} of {len(batch_matrix)} together; "
        f"NumPy {np.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )
    seconds = measure(contenders, arguments.rounds)
    print(f"{'':38}{'median':>12}{'ratio':>9}")
    for name, value in seconds.items():
        base = seconds[together] if name[0].isdigit() else seconds[single]
        print(f"{name:38}{1e3 * value:>9.1f} ms{value / base:>8.2f}x")
    memory = {
        "one query": peak_bytes(lambda: kayak.maxsim(query, index)),
        f"{len(queries)} queries": peak_bytes(lambda: kayak.maxsim_batch(batch, index)),
        "one query, obvious line": peak_bytes(lambda: obvious(matrix, index)),
    }
    print("\nworking memory, results included")
    for name, value in memory.items():
        print(f"{name:38}{value / 2**20:>9.1f} MiB")
    expected = obvious(matrix.astype(np.float64), index)
    error = float(np.abs(kayak.maxsim(query, index).values - expected).max() / np.abs(expected).max())
    print(f"\ngreatest difference from float64: {error:.1e} of the greatest score")
    if arguments.json:
        result = {
            "collection": arguments.data.name,
            "documents": index.document_count,
            "vectors": index.total_vector_count,
            "dim": index.vector_dim,
            "query_vectors": query.vector_count,
            "batch_query_vectors": len(batch_matrix),
            "rounds": arguments.rounds,
            "numpy": np.__version__,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "median_seconds": seconds,
            "peak_bytes": memory,
            "greatest_relative_error": error,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
