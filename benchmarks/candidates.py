"""Centroid interaction beside the exact scan and PLAID engines: recall, latency, size, build, and cost against size.

    python benchmarks/candidates.py [PART ...] [--json FILE] [--peer-python PYTHON] [--data COLLECTION ...]

The parts, all of them unless some are named:

    first      the first collection, all judged queries: exact scans, centroids with Mojo and with NumPy, numbers of
               centroids
    together   all collections as one: the same with one backend, nDCG@10 of each
    peers      fast-plaid and PyLate's PLAID on the first collection, the same vectors, queries and threads; needs
               `--peer-python`, an interpreter that has them
    scale      cost of 10³ to 10⁶ documents, and from there simulated to 10⁸

Token vectors are those of `minilm_tokens.py`; queries are asked one by one, on as many threads as the process may use.
Recall is that of the exact scan's top 10. Slow settings of the peers answer each third query, and are compared with
ours over the same queries. `--json` keeps figures as soon as they are known; parts that do not run keep those that the
file holds. `candidate_report.py` makes the picture and the tables of the documentation from that file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import candidate_comparison
import candidate_cost
import kayak
import minilm_tokens
import numpy as np
from candidate_measures import (
    MOJO,
    NUMPY,
    Collection,
    Figures,
    Measured,
    centroid_rows,
    count_rows,
    exact_rows,
    peer_figures,
)

PARTS = ("first", "together", "peers", "scale")
ENGINES = {"fast": ("fast-plaid", "PyLate, fast-plaid"), "stanford": ("PyLate, Stanford",)}
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


class Run:
    """Figures of all parts, written to a file whenever some are new."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.parts: Figures = {}
        if path is not None and path.exists():
            self.parts = json.loads(path.read_text(encoding="utf-8"))

    def save(self) -> None:
        if self._path is not None:
            building = self._path.with_suffix(f".{os.getpid()}.tmp")
            building.write_text(json.dumps(self.parts, separators=(",", ":")) + "\n", encoding="utf-8")
            building.replace(self._path)

    @contextmanager
    def part(self, name: str) -> Iterator[Figures]:
        """Begin a part anew; set down when, where and under which load it ran."""
        print(f"\n{name}", flush=True)
        start = time.perf_counter()
        figures: Figures = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "processor": platform.processor() or platform.machine(),
            "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "load": [os.getloadavg()[0]],
        }
        self.parts[name] = figures
        yield figures
        figures["load"].append(os.getloadavg()[0])
        figures["seconds"] = time.perf_counter() - start
        self.save()
        print(f"{name}: {figures['seconds']:.0f} s", flush=True)


def measure_collection(run: Run, figures: Figures, collection: Collection, backends: Sequence[str]) -> Measured:
    figures |= collection.description() | {"built": {}, "rows": {}}
    measured, figures["exact"] = exact_rows(collection, backends)
    run.save()
    for backend in backends:
        rows = centroid_rows(measured, backend)
        figures["built"][backend] = next(rows)
        figures["rows"][backend] = []
        for row in rows:
            figures["rows"][backend].append(row)
            run.save()
    return measured


def measure_peers(
    run: Run, figures: Figures, earlier: Figures, measured: Measured, python: Path, engines: Sequence[str]
) -> None:
    """Run engines; others keep what an earlier run set down."""
    anew = {name for engine in engines for name in ENGINES[engine]}
    for key in ("built", "rows"):
        figures[key] = {name: kept for name, kept in earlier.get(key, {}).items() if name not in anew}
    figures["stopped"] = {name: why for name, why in earlier.get("stopped", {}).items() if name not in engines}
    for engine in engines:
        start = time.perf_counter()
        try:
            for name, found in peer_figures(measured, python, engine):
                if "recall" in found:
                    figures["rows"].setdefault(name, []).append(found)
                else:
                    figures["built"][name] = found
                run.save()
        except subprocess.CalledProcessError as error:
            # The others are worth having; the report of this one says that it is not complete.
            print(f"{engine} stopped: {error}", flush=True)
            figures["stopped"][engine] = str(error)
        print(f"{engine}: {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all unless given")
    root = minilm_tokens.DEFAULT_DATA.parent
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[root / "scifact", root / "cranfield"],
        help="collections in BEIR layout (default: scifact and cranfield)",
    )
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--peer-python", type=Path, help="an interpreter that has fast-plaid, PyLate, or both")
    parser.add_argument(
        "--engines", nargs="+", choices=tuple(ENGINES), default=tuple(ENGINES), help="peers to run (default: both)"
    )
    parser.add_argument("--backends", nargs="+", choices=(MOJO, NUMPY), help="ours to run (default: all available)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="documents of the repeated corpora")
    parser.add_argument("--scale-vectors", type=int, default=4, help="vectors of their documents (default: 4)")
    parser.add_argument("--json", type=Path, help="keep all figures in this file")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if "peers" in arguments.parts and not arguments.peer_python:
        parser.error("the part peers needs --peer-python, an interpreter that has fast-plaid, PyLate, or both")
    wanted = arguments.parts or [part for part in PARTS if part != "peers" or arguments.peer_python]
    backends = arguments.backends or [each for each in (MOJO, NUMPY) if each in kayak.available_backends()]
    run = Run(arguments.json)
    start = time.perf_counter()
    if {"first", "peers", "scale"} & set(wanted):
        first = Collection(arguments.data[:1], arguments.cache)
        measured: Measured | None = None
        if "first" in wanted:
            with run.part("first") as figures:
                measured = measure_collection(run, figures, first, backends)
                figures["counts"] = count_rows(measured, backends[0])
        if "peers" in wanted:
            earlier = run.parts.get("peers", {})
            with run.part("peers") as figures:
                measured = measured or exact_rows(first, backends[:1])[0]
                measure_peers(run, figures, earlier, measured, arguments.peer_python, arguments.engines)
        if "scale" in wanted:
            with run.part("scale") as figures:
                figures.update(
                    candidate_cost.measure(first, sorted(arguments.sizes), arguments.scale_vectors, backends[0])
                )
                run.save()
                figures["simulation"] = candidate_cost.simulate(figures, run.parts.get("first"), backends[0])
        del first, measured
    if "together" in wanted and len(arguments.data) > 1:
        with run.part("together") as figures:
            measure_collection(run, figures, Collection(arguments.data, arguments.cache), backends[:1])
    print("\n" + "\n".join(candidate_comparison.lines(run.parts)))
    print(f"\nall of it: {time.perf_counter() - start:.0f} s; NumPy {np.__version__}")


if __name__ == "__main__":
    main()
