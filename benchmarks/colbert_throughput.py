"""Documents per second of the encoder `colbert`, beside its model called directly.

    python benchmarks/colbert_throughput.py --data DATA/cranfield --checkpoint minilm-colbert [--documents 240]

The model called directly is `MultiVectorEncoder.encode_document` over all texts at once, which sorts them by length
too, at several batch sizes: the best of them is the bar. One text at a time is the same call for each text alone. The
rounds take turns, and the median of each counts, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import kayak
from sentence_transformers import MultiVectorEncoder
from train_colbert import read_collection

BATCH_SIZES = (8, 16, 32, 64)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="test collection in BEIR layout")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a ColBERT checkpoint")
    parser.add_argument("--documents", type=int, default=240, help="how many, evenly over the collection")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* tokens, and the model reads the first")
    every = list(read_collection(options.data, 0).documents.items())
    chosen = every[:: max(1, len(every) // options.documents)][: options.documents]
    texts = [text for _, text in chosen]
    model = MultiVectorEncoder(str(options.checkpoint), local_files_only=True, device="cpu")
    ways: dict[str, Callable[[], object]] = {
        f"the model directly, batches of {size}": lambda size=size: model.encode_document(texts, batch_size=size)
        for size in BATCH_SIZES
    }
    ways |= {
        f"kayak colbert, batches of {size}{' (default)' if size == 32 else ''}": lambda size=size: encode(
            model, size, chosen
        )
        for size in BATCH_SIZES
    }
    ways["kayak colbert, into a retriever"] = lambda: index(model, chosen)
    ways["one text at a time"] = lambda: [model.encode_document(text) for text in texts]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    print(f"{len(texts)} documents, {sum(map(len, texts)):,} characters, {os.cpu_count()} CPUs")
    for name, taken in seconds.items():
        print(f"{name:<44}{len(texts) / statistics.median(taken):>8.1f} documents/s")
    return 0


def encode(model: Any, size: int, documents: list[tuple[str, str]]) -> object:
    """Encode through the encoder, which is made anew each time."""
    encoder = kayak.open_encoder("colbert", model=model, batch_size=size)
    return encoder.encode_documents(*map(list, zip(*documents, strict=True)))


def index(model: Any, documents: list[tuple[str, str]]) -> object:
    """Encode and store."""
    encoder = kayak.open_encoder("colbert", model=model)
    with kayak.open_text_retriever(encoder=encoder, store="memory") as retriever:
        retriever.upsert_texts(*map(list, zip(*documents, strict=True)), show_progress=False)
        return retriever.stats()


if __name__ == "__main__":
    sys.exit(main())
