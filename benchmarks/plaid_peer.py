"""PLAID engines over given token vectors, in a process of their own: their PyTorch is rarely the one others need.

    python benchmarks/plaid_peer.py VECTORS.npz {fast,stanford}

Run by `candidates.py --peer-python`. `fast` is fast-plaid, and PyLate's PLAID index over it where PyLate is installed:
the index is built once, by PyLate, which hands fast-plaid its own defaults, and then searched through both. `stanford`
is PyLate's other one, its port of Stanford's PLAID, which compiles its C++ parts on first use. Both store 4 bits a
dimension. Writes one JSON object a line to standard output, the build first and then each setting as it is done; what
the engines print goes to standard error. Needs fast-plaid and the PyTorch that it was built for, or PyLate, or both.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

NBITS = 4
DEPTH = 10
SOME = 3  # of the queries, each third is asked where a setting is slow
# n_ivf_probe, n_full_scores, each which query. The defaults are (8, 4096) for fast-plaid, (8, 8192) for PyLate.
FAST_SETTINGS = [(4, 512, 1), (8, 4096, 1), (16, 4096, SOME), (32, 8192, SOME)]
PYLATE_SETTINGS = [(4, 512, 1), (8, 8192, 1)]
STANFORD_SETTINGS = [(4, 512, 1), (8, 8192, 1), (16, 8192, SOME)]
WARM_UP = 300  # documents of the index that makes Stanford's parts compile, which is not the time of its build
Search = Callable[[Any], list[Any]]


class Peer:
    """Token vectors as the engines take them, and where results go."""

    def __init__(self, path: str, out: Any) -> None:
        import torch

        kept = np.load(path, allow_pickle=False)
        vectors, asked = torch.from_numpy(kept["vectors"]), torch.from_numpy(kept["query_vectors"])
        self.documents = [vectors[a:b] for a, b in pairwise(kept["offsets"].tolist())]
        self.queries = [asked[a:b] for a, b in pairwise(kept["query_offsets"].tolist())]
        self.torch = torch
        self._out = out

    def tell(self, **values: Any) -> None:
        """Write one result."""
        self._out.write(json.dumps(values) + "\n")
        self._out.flush()

    def built(self, engine: str, seconds: float, folder: str) -> None:
        """Tell what building took, and the bytes on disk."""
        self.tell(
            engine=engine,
            build_seconds=seconds,
            byte_size=sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()),
            versions={name: version(name) for name in ("fast-plaid", "pylate", "torch")},
            threads=self.torch.get_num_threads(),
        )

    def ask(self, engine: str, search: Search, probes: int, full: int, step: int) -> None:
        """Time each `step`-th query, one after the other, after one untimed."""
        search(self.queries[0])
        seconds, hits = [], []
        for query in self.queries[::step]:
            start = time.perf_counter()
            found = search(query)
            seconds.append(time.perf_counter() - start)
            hits.append([int(number) for number in found])
        self.tell(engine=engine, n_ivf_probe=probes, n_full_scores=full, every=step, seconds=seconds, hits=hits)


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_fast(peer: Peer, folder: str) -> None:
    from fast_plaid.search import FastPlaid

    with_pylate = importlib.util.find_spec("pylate") is not None
    start = time.perf_counter()
    if with_pylate:
        pylate_index(folder, override=True, use_fast=True).add_documents(
            list(range(len(peer.documents))), peer.documents
        )
        place = str(Path(folder) / "peer" / "fast_plaid_index")
        index = FastPlaid(index=place, device="cpu")
    else:
        index = FastPlaid(index=folder, device="cpu")
        index.create(documents_embeddings=peer.documents, nbits=NBITS)
    peer.built("fast-plaid", time.perf_counter() - start, folder)
    for probes, full, step in FAST_SETTINGS:

        def search(query: Any, probes: int = probes, full: int = full) -> list[Any]:
            found = index.search(query[None], top_k=DEPTH, n_ivf_probe=probes, n_full_scores=full, show_progress=False)
            return [number for number, _ in found[0]]

        peer.ask("fast-plaid", search, probes, full, step)
    if with_pylate:
        run_pylate(peer, folder, "PyLate, fast-plaid", PYLATE_SETTINGS, use_fast=True)


def run_stanford(peer: Peer, folder: str) -> None:
    with tempfile.TemporaryDirectory() as other:
        small = pylate_index(other, override=True, use_fast=False)
        small.add_documents(list(range(WARM_UP)), peer.documents[:WARM_UP])
        small(peer.queries[:1], k=DEPTH)
    start = time.perf_counter()
    pylate_index(folder, override=True, use_fast=False).add_documents(list(range(len(peer.documents))), peer.documents)
    peer.built("PyLate, Stanford", time.perf_counter() - start, folder)
    run_pylate(peer, folder, "PyLate, Stanford", STANFORD_SETTINGS, use_fast=False)


def run_pylate(peer: Peer, folder: str, engine: str, settings: list[tuple[int, int, int]], *, use_fast: bool) -> None:
    """Open the index that is there with each setting, and search it."""
    for probes, full, step in settings:
        index = pylate_index(folder, use_fast=use_fast, n_ivf_probe=probes, n_full_scores=full)
        peer.ask(
            engine, lambda query, index=index: [hit["id"] for hit in index([query], k=DEPTH)[0]], probes, full, step
        )


def pylate_index(folder: str, **options: Any) -> Any:
    from pylate import indexes

    return indexes.PLAID(
        index_folder=folder, index_name="peer", nbits=NBITS, device="cpu", show_progress=False, **options
    )


@contextmanager
def results_alone() -> Iterator[Any]:
    """Give standard output to results, and standard error to what else is printed, by native code too."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        yield out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", help="vectors, offsets, query_vectors and query_offsets in one .npz file")
    parser.add_argument("engine", choices=("fast", "stanford"))
    arguments = parser.parse_args()
    with results_alone() as out, tempfile.TemporaryDirectory() as folder:
        (run_fast if arguments.engine == "fast" else run_stanford)(Peer(arguments.vectors, out), folder)


if __name__ == "__main__":
    main()
