"""Measures the directory store: ingest, opening and loading, filters, and the cost of an upsert as the store grows.

    python benchmarks/directory_store.py [--folder DIR] [--gigabytes 1.0] [--json FILE]

Every figure is taken in one run on one machine, beside a raw write and fsync of the same bytes. Files go to a
temporary folder inside `--folder` and are removed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kayak
import numpy as np

DIM, TOKENS, BATCH = 128, 100, 1000

_COLD_LOAD = """
import sys, time, json
import kayak
kayak.DirectoryLateStore, kayak.MemoryLateStore
started = time.perf_counter()
store = kayak.DirectoryLateStore(sys.argv[1])
opened, cpu = time.perf_counter(), time.process_time()
index = store.load_index()
loaded, cpu = time.perf_counter(), time.process_time() - cpu
texts = store.load_index(include_text=True)
print(json.dumps({
    "open_ms": (opened - started) * 1e3,
    "load_index_ms": (loaded - opened) * 1e3,
    "load_index_cpu_ms": cpu * 1e3,
    "load_texts_ms": (time.perf_counter() - loaded) * 1e3,
    "documents": index.document_count,
    "gigabytes": index.vector_byte_size / 2**30,
}))
"""


def batches(documents: int, *, tokens: int = TOKENS, dim: int = DIM) -> Iterator[tuple[kayak.LateDocuments, list[Any]]]:
    """Yield random documents with texts and three metadata values each."""
    rng = np.random.default_rng(0)
    for start in range(0, documents, BATCH):
        count = min(BATCH, documents - start)
        ids = [f"document-{number:07}" for number in range(start, start + count)]
        vectors = rng.standard_normal((count, tokens, dim), dtype=np.float32)
        rows = [{"topic": f"t{i % 50}", "year": 1950 + i % 70, "weight": i / documents} for i in range(count)]
        yield kayak.documents(ids, vectors, texts=[f"{doc_id} " * 40 for doc_id in ids]), rows


def raw_write(path: Path, chunks: Iterator[bytes]) -> float:
    """Return seconds to write and fsync the chunks, an fsync each, as the store does."""
    seconds = 0.0
    with path.open("wb", buffering=0) as file:
        for chunk in chunks:
            started = time.perf_counter()
            file.write(chunk)
            os.fsync(file.fileno())
            seconds += time.perf_counter() - started
    path.unlink()
    return seconds


def median_ms(work: Callable[[], Any], repeats: int = 9) -> float:
    """Return the median of several runs in milliseconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def measure_large_store(folder: Path, gigabytes: float) -> dict[str, float]:
    """Ingest, then open and load in new processes, then a first full scan with its checksums."""
    documents = int(gigabytes * 2**30 / (TOKENS * DIM * 4))
    seconds = size = 0.0
    with kayak.DirectoryLateStore(folder / "large", segment_bytes=256 << 20) as store:
        for batch, rows in batches(documents):
            started = time.perf_counter()
            store.upsert(batch, metadata=rows)
            seconds += time.perf_counter() - started
            size += batch.block.vectors.nbytes
        raw = raw_write(folder / "raw", (b.block.vectors.tobytes() for b, _ in batches(documents)))
        command = [sys.executable, "-c", _COLD_LOAD, str(folder / "large")]
    loads = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(5)]
    figures = {key: statistics.median(load[key] for load in loads) for key in loads[0]}
    query = kayak.query(np.random.default_rng(1).standard_normal((32, DIM)).astype(np.float32))
    with kayak.DirectoryLateStore(folder / "large") as store:
        index = store.load_index()
        started = time.perf_counter()
        kayak.maxsim(query, index)
        first = time.perf_counter() - started
        started = time.perf_counter()
        kayak.maxsim(query, index)
        second = time.perf_counter() - started
        store.delete(index.doc_ids[::10])
        started = time.perf_counter()
        report = store.compact()
        compaction = time.perf_counter() - started
    return {
        **figures,
        "ingest_mb_per_s": size / seconds / 1e6,
        "raw_write_mb_per_s": size / raw / 1e6,
        "first_scan_ms": first * 1e3,
        "second_scan_ms": second * 1e3,
        "compaction_s": compaction,
        "compaction_reclaimed_mb": report.reclaimed_byte_size / 1e6,
    }


def measure_filters(folder: Path, documents: int = 100_000) -> dict[str, float]:
    """Filter 100,000 documents with three metadata values each, vectors tiny."""
    with kayak.DirectoryLateStore(folder / "filters") as store:
        for batch, rows in batches(documents, tokens=1, dim=4):
            store.upsert(batch, metadata=rows)
    filters: dict[str, dict[str, Any]] = {
        "equal_2_percent": {"topic": "t7"},
        "range_half": {"year": {"$gte": 1985}},
        "and_of_three": {"topic": "t7", "year": {"$lt": 1980}, "weight": {"$gt": 0.001}},
        "not": {"topic": {"$ne": "t7"}},
    }
    figures = {}
    with kayak.DirectoryLateStore(folder / "filters") as store:
        started = time.perf_counter()
        store.load_index()
        figures["filters_load_100k_ms"] = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        store.load_index(where=filters["equal_2_percent"])
        figures["filter_first_use_ms"] = (time.perf_counter() - started) * 1e3
        for name, where in filters.items():
            store.load_index(where=where)
            figures[f"filter_{name}_ms"] = median_ms(lambda where=where: store.load_index(where=where))
        ids = [f"document-{number:07}" for number in range(0, documents, 3)]
        figures["doc_ids_33k_ms"] = median_ms(lambda: store.load_index(doc_ids=ids))
    return figures


def warm_page_cache(folder: Path, byte_size: int) -> None:
    """Write and remove a file, so that the page cache gets its memory from the machine before the clock runs.

    On a virtual machine, the first use of a page of memory costs several times as much as the next: without this, a
    series of equal writes looks as if each took longer than the one before.
    """
    path, chunk = folder / "warm", os.urandom(16 << 20)
    with path.open("wb", buffering=0) as file:
        for _ in range(-(-byte_size // len(chunk))):
            file.write(chunk)
        os.fsync(file.fileno())
    path.unlink()


def measure_upserts(folder: Path, *, scattered: bool) -> dict[str, float]:
    """Time 200 upserts of 100 documents, ids ascending or scattered; fsync is part of each.

    A raw write and fsync of the same vector bytes follows each upsert: what the machine itself costs, and whether that
    drifts, shows beside it, and is taken off in `…_ratio_beyond_raw`.
    """
    warm_page_cache(folder, 5 * 20_000 * TOKENS * DIM * 4)  # twice what the store and the raw file will hold
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100, TOKENS, DIM), dtype=np.float32)
    numbers = rng.permutation(20_000) if scattered else np.arange(20_000)
    name = "scattered" if scattered else "ascending"
    times, cpu_times, raw_times = [], [], []
    with kayak.DirectoryLateStore(folder / name) as store, (folder / f"{name}.raw").open("wb") as raw:
        for start in range(0, 20_000, 100):
            ids = [f"{number:08x}" for number in numbers[start : start + 100].tolist()]
            batch = kayak.documents(ids, vectors, texts=[doc_id * 30 for doc_id in ids])
            rows = [{"n": int(number), "even": bool(number % 2)} for number in numbers[start : start + 100]]
            started, cpu = time.perf_counter(), time.process_time()
            store.upsert(batch, metadata=rows)
            times.append((time.perf_counter() - started) * 1e3)
            cpu_times.append((time.process_time() - cpu) * 1e3)
            started = time.perf_counter()
            raw.write(vectors.data)
            raw.flush()
            os.fsync(raw.fileno())
            raw_times.append((time.perf_counter() - started) * 1e3)
    first, last, raw_first, raw_last = (
        statistics.median(part) for part in (times[:50], times[-50:], raw_times[:50], raw_times[-50:])
    )
    return {
        f"upsert_{name}_raw_first_50_ms": raw_first,
        f"upsert_{name}_raw_last_50_ms": raw_last,
        f"upsert_{name}_ratio_beyond_raw": (last - raw_last) / (first - raw_first),
        f"upsert_{name}_first_50_cpu_ms": statistics.median(cpu_times[:50]),
        f"upsert_{name}_last_50_cpu_ms": statistics.median(cpu_times[-50:]),
        f"upsert_{name}_first_50_ms": statistics.median(times[:50]),
        f"upsert_{name}_last_50_ms": statistics.median(times[-50:]),
        f"upsert_{name}_ratio": statistics.median(times[-50:]) / statistics.median(times[:50]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to put the stores (default: the temporary folder)")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the large store (default: 1.0)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    for measure in (
        lambda folder: measure_large_store(folder, arguments.gigabytes),
        measure_filters,
        lambda folder: measure_upserts(folder, scattered=False),
        lambda folder: measure_upserts(folder, scattered=True),
    ):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            found = measure(Path(folder))
        for name, value in found.items():
            print(f"{name:<32}{value:>12.2f}", flush=True)
        figures.update(found)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
