"""float32, float16 and int8 beside one another: bytes on disk, what the rounding loses, and the time of a scan.

    python benchmarks/vector_dtypes.py [--data COLLECTION] [--cache FOLDER] [--rounds N] [--json FILE]

One directory store for each element type over the vectors that `minilm_tokens.py` makes. All queries are ranked by
exact MaxSim over what each store holds; recall@10 is that of the float32 ranking's first ten, nDCG@10 that of the
judgements. Times are the fastest of some rounds, the element types in turn in one process, so that a busy machine slows
all of them: one query of 32 vectors, and one of 8, for each backend that is there, on as many threads as the process
may use. Needs kayak-centroids, whose benchmark reads the collection; takes two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import kayak
import minilm_tokens
import numpy as np
from candidate_measures import DEPTH, MOJO, NUMPY, Collection, recall

DTYPES = ("float32", "float16", "int8")
BATCH = 500
QUERY_LENGTHS = (32, 8)
Figures = dict[str, Any]


def store_of(collection: Collection, folder: Path, vector_dtype: str) -> kayak.LateStore:
    """A directory store of the collection's documents."""
    store = kayak.open_store("kayak", path=folder / vector_dtype, vector_dtype=vector_dtype)
    ids, index = collection.documents.ids, collection.index
    for first in range(0, len(ids), BATCH):
        numbers = range(first, min(first + BATCH, len(ids)))
        store.upsert(kayak.documents([ids[i] for i in numbers], [index.document_token_matrix(i) for i in numbers]))
    return store


def rankings(index: kayak.LateIndex, collection: Collection, backend: str) -> list[list[str]]:
    """The first ten documents of each query."""
    found: list[list[str]] = []
    asked = iter(collection.asked)
    while batch := tuple(islice(asked, 30)):
        scores = kayak.maxsim_batch(kayak.query_batch(batch), index, backend=backend)
        found += [[hit.doc_id for hit in each.topk(DEPTH)] for each in scores]
    return found


def scan_seconds(indexes: dict[str, kayak.LateIndex], query: kayak.LateQuery, backend: str, rounds: int) -> Figures:
    """The fastest scan of each index, in turn."""
    best = dict.fromkeys(indexes, float("inf"))
    for _ in range(rounds):
        for name, index in indexes.items():
            start = time.perf_counter()
            kayak.maxsim(query, index, backend=backend)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where the vectors are kept")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each timing")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    collection = Collection([arguments.data], arguments.cache)
    backends = [name for name in (MOJO, NUMPY) if name in kayak.available_backends()]
    longest = np.concatenate([query.as_vector_matrix() for query in collection.asked[:10]])
    figures: dict[str, Figures] = {name: {} for name in DTYPES}
    with tempfile.TemporaryDirectory() as folder:
        indexes = {}
        for name in DTYPES:
            with store_of(collection, Path(folder), name) as store:
                indexes[name] = store.load_index()
                figures[name]["bytes_on_disk"] = store.stats().storage_byte_size
        exact = rankings(indexes["float32"], collection, backends[0])
        for name, index in indexes.items():
            found = exact if name == "float32" else rankings(index, collection, backends[0])
            figures[name] |= {"recall@10": recall(found, exact), "ndcg@10": collection.ndcg(found)[collection.name]}
        for backend in backends:
            for length in QUERY_LENGTHS:
                seconds = scan_seconds(indexes, kayak.query(longest[:length]), backend, arguments.rounds)
                for name, value in seconds.items():
                    figures[name][f"{backend}, {length} vectors: seconds"] = value
                    figures[name][f"{backend}, {length} vectors: ratio"] = value / seconds["float32"]
    count = collection.index.document_count
    print(f"{collection.name}: {count} documents, {collection.index.total_vector_count} vectors × "
          f"{collection.index.vector_dim}, {len(collection.asked)} queries")  # fmt: skip
    width = max(map(len, figures["int8"]))
    print(f"{'':{width}}" + "".join(f"{name:>16}" for name in DTYPES))
    for measure, value in figures["int8"].items():
        form = ">16,.4f" if isinstance(value, float) else ">16,"
        print(f"{measure:{width}}" + "".join(f"{figures[name][measure]:{form}}" for name in DTYPES))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
