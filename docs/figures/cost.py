"""The table and the picture of the page "What does it cost": measured rates, and what follows from them.

    python docs/figures/cost.py [--picture docs/assets/cost.png] [--json FILE] [--rounds 15]

Documents of 100 vectors, queries of 32, dimension 128, float32, random directions. Measured are: one exact scan of 10⁴
documents by each backend, stage 1 of `document_proxy` over 10⁴, 10⁵ and 10⁶ documents, and exact scores of 1,000
candidates. Everything else is computed: vectors and bytes exactly, times by proportion. An extrapolated time supposes
that all vectors are in memory. Needs the extra `plot`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import kayak
import numpy as np
from kayak.plotting import INK, PALETTE, new_figure, save_figure, tidy

VECTORS, QUERY_VECTORS, DIM, WINDOW = 100, 32, 128, 1_000
SCANNED = 10_000
PROXIES = (10_000, 100_000, 1_000_000)
SIZES = tuple(10**power for power in range(4, 9))
FLOAT_BYTES = 4


@attrs.frozen
class Rates:
    """The least times of several, in seconds."""

    scan: dict[str, float]
    rescore: dict[str, float]
    proxy: dict[int, float]
    load_average: float

    def exact_seconds(self, backend: str, documents: int) -> float:
        """Return the time of one exact scan."""
        return self.scan[backend] * documents / SCANNED

    def proxy_seconds(self, documents: int) -> float:
        """Return the time of stage 1: measured, or in proportion to the largest measured."""
        return self.proxy.get(documents) or self.proxy[max(PROXIES)] * documents / max(PROXIES)


def random_index(documents: int, vectors: int) -> kayak.LateIndex:
    """Return documents of random unit vectors."""
    matrix = np.random.default_rng(0).standard_normal((documents * vectors, DIM), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix.flags.writeable = False
    rows = np.arange(documents, dtype=np.int64)
    block = kayak.IndexBlock(np.arange(0, documents * vectors + 1, vectors, dtype=np.int64), matrix)
    return kayak.LateIndex(tuple(map(str, rows.tolist())), (kayak.IndexSlice(block, None, rows),))


def fastest_seconds(run: Callable[[], object], rounds: int) -> float:
    """Return the least time of several: what the machine can do where other work does not interfere."""
    times = []
    for _ in range(rounds):
        time.sleep(0.2)  # threads of a BLAS library keep spinning for a while after a product
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(rounds: int) -> Rates:
    """Measure everything that the table rests on."""
    load = os.getloadavg()[0]
    query = kayak.query(np.random.default_rng(1).standard_normal((QUERY_VECTORS, DIM), dtype=np.float32))
    everything = random_index(SCANNED, VECTORS)
    window = everything.take(np.random.default_rng(2).permutation(SCANNED)[:WINDOW])
    scan, rescore = (exact_times(query, index, rounds) for index in (everything, window))
    del everything, window
    generator = kayak.document_proxy_candidate_generator()
    proxy = {}
    for documents in PROXIES:
        proxies = random_index(documents, 1)  # stage 1 reads one vector a document, however many there were
        proxy[documents] = fastest_seconds(
            lambda proxies=proxies: kayak.generate_candidates(query, proxies, generator, k=WINDOW), rounds
        )
    return Rates(scan, rescore, proxy, load)


def exact_times(query: kayak.LateQuery, index: kayak.LateIndex, rounds: int) -> dict[str, float]:
    """Return each backend's time for the exact scores of an index."""
    return {
        backend: fastest_seconds(lambda backend=backend: kayak.maxsim(query, index, backend=backend), rounds)
        for backend in kayak.available_backends()
    }


def binary(count: float) -> str:
    """Return bytes in decimal units."""
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 1000:
            return f"{count:.3g} {unit}"
    return f"{count:.3g} PB"


def duration(seconds: float, *, measured: bool) -> str:
    """Return a time with two significant digits; measured ones are bold, extrapolated ones in italics."""
    for unit, size in (("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= size or unit == "ms":
            text = f"{float(f'{seconds / size:.2g}'):,g} {unit}"
            break
    return f"**{text}**" if measured else f"*{text}*"


def table(rates: Rates) -> str:
    """Return the Markdown table of the page: measured times bold, extrapolated ones in italics."""
    backends = list(rates.scan)
    headings = ["documents", "vectors", "float32", "dot products of a scan"]
    headings += [f"exact, `{backend}`" for backend in backends]
    headings += ["means, float32", "stage 1", *(f"{WINDOW:,} rescored, `{backend}`" for backend in backends)]
    lines = [f"| {' | '.join(headings)} |", f"|{'---:|' * len(headings)}"]
    for size in SIZES:
        vectors = size * VECTORS
        cells = [f"10{'⁴⁵⁶⁷⁸'[SIZES.index(size)]}", f"{vectors:,}", binary(vectors * DIM * FLOAT_BYTES)]
        cells.append(f"{vectors * QUERY_VECTORS:,}")
        cells += [duration(rates.exact_seconds(each, size), measured=size == SCANNED) for each in backends]
        cells += [binary(size * DIM * FLOAT_BYTES), duration(rates.proxy_seconds(size), measured=size in PROXIES)]
        cells += [duration(rates.rescore[each], measured=size == SCANNED) for each in backends]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(rates: Rates, path: Path) -> None:
    """Draw time over the number of documents; filled marks are measured."""
    figure = new_figure(8.4, 4.8)
    axes = figure.add_subplot()
    lines: list[tuple[str, Callable[[int], float], tuple[int, ...]]] = [
        (f"exact scan, {backend}", lambda n, backend=backend: rates.exact_seconds(backend, n), (SCANNED,))
        for backend in rates.scan
    ]
    fastest = min(rates.rescore, key=rates.rescore.__getitem__)
    lines.append(
        (
            f"document_proxy, {WINDOW:,} rescored by {fastest}",
            lambda n: rates.proxy_seconds(n) + rates.rescore[fastest],
            PROXIES,
        )
    )
    for number, (name, seconds, measured) in enumerate(lines):
        colour = PALETTE[number]
        axes.plot(SIZES, [seconds(n) for n in SIZES], color=colour, linestyle="--", linewidth=1.4, label=name)
        for size in SIZES:
            face = colour if size in measured else "white"
            axes.plot(size, seconds(size), "o", color=colour, markerfacecolor=face, markersize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"documents of {VECTORS} vectors × {DIM} (filled: measured; hollow: extrapolated)")
    axes.set_ylabel("seconds a query")
    axes.set_title(f"One query of {QUERY_VECTORS} vectors, all in memory", loc="left", fontsize=11, color=INK)
    tidy(axes)
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    save_figure(figure, path)


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="draw the picture into this file")
    parser.add_argument("--json", type=Path, help="write the measured times, in seconds, to this file")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each (default: %(default)s)")
    arguments = parser.parse_args()
    rates = measure(arguments.rounds)
    print(f"{os.cpu_count()} processors, load average {rates.load_average:.1f}; NumPy {np.__version__}")
    print(table(rates))
    if arguments.picture:
        picture(rates, arguments.picture)
    if arguments.json:
        figures: dict[str, Any] = attrs.asdict(rates)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
