"""What building centroids and lists takes: wall and processor seconds for millions of token vectors.

    python benchmarks/centroid_build.py [--data COLLECTION] [--vectors N] [--centroids K] [--backend NAME] [--json FILE]

The documents are a collection encoded by `minilm_tokens.py`, repeated with noise until there are `--vectors` vectors:
lengths and clusters are real, the repetitions are not. Three million vectors of 128 dimensions take 1.5 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import kayak
import kayak_centroids
import minilm_tokens
import numpy as np
from candidate_measures import MOJO, NOISE, NUMPY, Collection, index_of


def repeated(collection: Collection, wanted: int) -> kayak.LateIndex:
    """Return an index of the collection's documents and noisy copies of them, of `wanted` vectors in all."""
    offsets, vectors = collection.documents.offsets, collection.documents.vectors
    generator = np.random.default_rng(0)
    made = np.empty((wanted, vectors.shape[1]), dtype=np.float32)
    bounds = [np.zeros(1, dtype=np.int64)]
    for first in range(0, wanted, len(vectors)):
        part = made[first : first + len(vectors)]
        part[:] = vectors[: len(part)]
        if first:
            part += generator.standard_normal(part.shape, dtype=np.float32) * NOISE
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        inside = offsets[1:][offsets[1:] <= len(part)]
        bounds.append(first + inside)
        if inside[-1] < len(part):  # the last document is cut
            bounds.append(np.array([first + len(part)]))
    starts = np.concatenate(bounds)
    return index_of(starts, made, [str(number) for number in range(len(starts) - 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=minilm_tokens.DEFAULT_DATA, help="collection in BEIR layout")
    parser.add_argument("--cache", type=Path, default=minilm_tokens.DEFAULT_CACHE, help="where token vectors are kept")
    parser.add_argument("--vectors", type=int, default=3_000_000, help="token vectors (default: %(default)s)")
    parser.add_argument("--centroids", type=int, default=4096, help="centroids (default: %(default)s)")
    parser.add_argument("--backend", help="Mojo where it is available, else NumPy, unless given")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    backend = arguments.backend or (MOJO if MOJO in kayak.available_backends() else NUMPY)
    index = repeated(Collection([arguments.data], arguments.cache), arguments.vectors)
    generator = kayak_centroids.centroid_interaction_candidate_generator(n_centroids=arguments.centroids)
    processor_start = time.process_time()
    report = kayak_centroids.prepare_centroids(index, generator, backend=backend)
    figures = {
        "backend": backend,
        "documents": index.document_count,
        "vectors": index.total_vector_count,
        "dimension": index.vector_dim,
        "centroids": report.centroid_count,
        "wall_seconds": report.build_seconds,
        "processor_seconds": time.process_time() - processor_start,
        "postings": report.posting_count,
        "mean_cosine": report.mean_cosine,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(figures, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
