"""fast-plaid over given token vectors, in a process of its own: its PyTorch is rarely the one that others need.

    python benchmarks/plaid_peer.py VECTORS.npz RESULTS.json

Run by `candidates.py --plaid-python`. Needs fast-plaid and the PyTorch that it was built for. PyLate's PLAID index is
fast-plaid too.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

NBITS = 4
SETTINGS = [(4, 512), (8, 4096), (16, 4096), (32, 8192)]  # n_ivf_probe, n_full_scores; (8, 4096) are its defaults


def main() -> None:
    import torch
    from fast_plaid.search import FastPlaid

    kept = np.load(sys.argv[1], allow_pickle=False)
    vectors, offsets = torch.from_numpy(kept["vectors"]), kept["offsets"].tolist()
    asked, bounds = torch.from_numpy(kept["query_vectors"]), kept["query_offsets"].tolist()
    documents = [vectors[a:b] for a, b in pairwise(offsets)]
    queries = [asked[a:b] for a, b in pairwise(bounds)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        index = FastPlaid(index=folder, device="cpu")
        index.create(documents_embeddings=documents, nbits=NBITS)
        build_seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        rows = []
        for probes, full in SETTINGS:
            index.search(queries[0][None], top_k=10, n_ivf_probe=probes, n_full_scores=full, show_progress=False)
            seconds, hits = [], []
            for query in queries:
                start = time.perf_counter()
                found = index.search(query[None], top_k=10, n_ivf_probe=probes, n_full_scores=full, show_progress=False)
                seconds.append(time.perf_counter() - start)
                hits.append([number for number, _ in found[0]])
            rows.append({"n_ivf_probe": probes, "n_full_scores": full, "seconds": seconds, "hits": hits})
    figures = {
        "version": importlib.metadata.version("fast-plaid"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "build_seconds": build_seconds,
        "byte_size": size,
        "settings": rows,
    }
    Path(sys.argv[2]).write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
