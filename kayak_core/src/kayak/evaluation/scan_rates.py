"""How fast this machine scans exactly, by each backend, beside what it could do at best."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from kayak.evaluation.backends import chosen_backends
from kayak.evaluation.frames import data_frame
from kayak.evaluation.text_table import TextTable, bytes_text, milliseconds
from kayak.retrieval.progress import progress_bar
from kayak.searching import maxsim
from kayak.typing import Float32Matrix
from kayak.values import IndexBlock, IndexSlice, LateIndex, query
from kayak.values.coerce import non_negative_int

_SETTLE_SECONDS = 0.2
"""Pause before each measurement: threads of a BLAS library keep spinning on their cores for a while."""
_FLOAT_BYTES = 4


@attrs.frozen
class ScanRate:
    """How long one scan took.

    Attributes:
        name: the backend, or the limit.
        seconds: median of the rounds.
        vectors_per_second: document vectors scanned a second.
        gigaflops: floating-point operations a second, in billions; None for reading.
        gigabytes_per_second: bytes of vectors a second, in 10⁹; None for the square product.
        is_limit: whether this is no scan, but what bounds every scan.
    """

    name: str
    seconds: float
    vectors_per_second: float
    gigaflops: float | None
    gigabytes_per_second: float | None
    is_limit: bool


@attrs.frozen(repr=False)
class ScanRates:
    """Exact-scan rates of this machine. `print` it for a table.

    Attributes:
        rates: the backends, then the limits.
        query_vector_count: vectors of the query.
        document_vector_count: vectors of all documents.
        vector_dim: their dimension.
        document_count: number of documents.
        rounds: measurements of each, in turns, after one that is not counted.
        threads: processors that the process may use.
        load_average: the system's load average before the measurement; None where the system has none.
    """

    rates: tuple[ScanRate, ...]
    query_vector_count: int
    document_vector_count: int
    vector_dim: int
    document_count: int
    rounds: int
    threads: int
    load_average: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return attrs.asdict(self)

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with one row a backend or limit.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return data_frame([attrs.asdict(rate) for rate in self.rates])

    def table(self) -> TextTable:
        """Return the rates as a table; the backends are marked."""
        fastest = max(rate.seconds for rate in self.rates if rate.is_limit)
        rows = [
            (
                rate.name,
                milliseconds(rate.seconds),
                f"{rate.vectors_per_second / 1e6:,.1f} M",
                "" if rate.gigaflops is None else f"{rate.gigaflops:,.0f}",
                "" if rate.gigabytes_per_second is None else f"{rate.gigabytes_per_second:,.1f}",
                "" if rate.is_limit else f"{fastest / rate.seconds:.0%}",
            )
            for rate in self.rates
        ]
        headings = ("", "median", "vectors/s", "GFLOP/s", "GB/s", "of the limit")
        return TextTable(headings, rows, frozenset(n for n, rate in enumerate(self.rates) if not rate.is_limit))

    def plot(self, path: str | Path) -> Path:
        """Draw the times as bars into a file.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            InvalidInputError: the file cannot be written.
        """
        from kayak.evaluation.plots import plot_scan_rates

        return plot_scan_rates(self, path)

    def head(self) -> str:
        """Return one line about what was measured."""
        size = self.document_vector_count * self.vector_dim * _FLOAT_BYTES
        load = "" if self.load_average is None else f", load average {self.load_average:.1f}"
        return (
            f"one query of {self.query_vector_count} vectors over {self.document_count:,} documents, "
            f"{self.document_vector_count:,} vectors × {self.vector_dim}, {bytes_text(size)}; "
            f"{self.threads} processors{load}"
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{rate.name} {milliseconds(rate.seconds)}" for rate in self.rates)
        return f"ScanRates({shown})"

    def __str__(self) -> str:
        return f"{self.head()}\n{self.table()}"

    def __rich__(self) -> Any:
        return self.table().rich()


def measure_scan_rates(
    *,
    backends: Iterable[str] | None = None,
    document_count: int = 4_000,
    vectors_per_document: int = 100,
    vector_dim: int = 128,
    query_vector_count: int = 32,
    rounds: int = 7,
    show_progress: bool | None = None,
) -> ScanRates:
    """Measure the exact scan by each backend, and what bounds it: arithmetic and memory.

    The vectors are random, since exact scores cost the same whatever they are. `square SGEMM` is a float32 product of
    square matrices with as many operations as the scan; `one read` reads the vectors once, by all processors. No
    exact scan is faster than the slower of the two, within the noise of the measurement. All take turns.

    Args:
        backends: executors; all that can run here unless given.
        document_count: documents, ≥ 1.
        vectors_per_document: vectors of each, ≥ 1.
        vector_dim: their dimension, ≥ 1.
        query_vector_count: vectors of the query, ≥ 1.
        rounds: measurements of each, ≥ 1.
        show_progress: True shows a progress bar, False none; None shows one on a terminal with tqdm installed.

    Raises:
        InvalidTypeError, InvalidInputError: a malformed argument.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
    """
    documents = non_negative_int(document_count, "document_count", minimum=1)
    each = non_negative_int(vectors_per_document, "vectors_per_document", minimum=1)
    dim = non_negative_int(vector_dim, "vector_dim", minimum=1)
    query_vectors = non_negative_int(query_vector_count, "query_vector_count", minimum=1)
    times = non_negative_int(rounds, "rounds", minimum=1)
    names = chosen_backends(backends)
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((documents * each, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    threads = _processors()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    flops = 2.0 * vectors.size * query_vectors
    with ThreadPoolExecutor(threads) as pool:
        cases = _scans(names, vectors, each, query_vectors, generator) | _limits(vectors, query_vectors, pool, threads)
        seconds = _timed(cases, times, show_progress)
    return ScanRates(
        tuple(_rate(name, seconds[name], vectors, flops, is_limit=name not in names) for name in cases),
        query_vectors,
        len(vectors),
        dim,
        documents,
        times,
        threads,
        load,
    )


_SQUARE, _READ = "limit: square SGEMM", "limit: one read"


def _scans(
    names: tuple[str, ...], vectors: Float32Matrix, each: int, query_vectors: int, generator: np.random.Generator
) -> dict[str, Callable[[], object]]:
    rows = np.arange(len(vectors) // each, dtype=np.int64)
    offsets = np.arange(0, len(vectors) + 1, each, dtype=np.int64)
    vectors.flags.writeable = False
    index = LateIndex(tuple(map(str, rows.tolist())), (IndexSlice(IndexBlock(offsets, vectors), None, rows),))
    one = query(generator.standard_normal((query_vectors, vectors.shape[1]), dtype=np.float32))

    def scan(backend: str) -> Callable[[], object]:
        return lambda: maxsim(one, index, backend=backend)

    return {name: scan(name) for name in names}


def _limits(
    vectors: Float32Matrix, query_vectors: int, pool: ThreadPoolExecutor, threads: int
) -> dict[str, Callable[[], object]]:
    side = max(1, round((vectors.size * query_vectors) ** (1 / 3)))
    square = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    product = np.empty_like(square)
    pieces = np.array_split(vectors, threads)
    return {
        _SQUARE: lambda: np.matmul(square, square, out=product),
        _READ: lambda: [float(found) for found in pool.map(lambda piece: piece.max(initial=0.0), pieces)],
    }


def _timed(cases: dict[str, Callable[[], object]], rounds: int, show_progress: bool | None) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    with progress_bar("measuring", (rounds + 1) * len(cases), show_progress, unit="scan") as advance:
        for number in range(rounds + 1):
            for name, run in cases.items():
                time.sleep(_SETTLE_SECONDS)
                start = time.perf_counter()
                run()
                if number:  # the first round warms caches and threads
                    seconds[name].append(time.perf_counter() - start)
                advance(1)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def _rate(name: str, seconds: float, vectors: Float32Matrix, flops: float, *, is_limit: bool) -> ScanRate:
    return ScanRate(
        name,
        seconds,
        len(vectors) / seconds,
        None if name == _READ else flops / seconds / 1e9,
        None if name == _SQUARE else vectors.nbytes / seconds / 1e9,
        is_limit,
    )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
