"""Documents per second of the encoder `colbert`, beside its model called directly.

    python benchmarks/colbert_throughput.py --data DATA/cranfield --checkpoint minilm-colbert [--documents 256]

Two sorts of texts: titles, of a dozen words, and abstracts, of about two hundred. The model called directly is
`MultiVectorEncoder.encode_document` over all texts at once, which sorts them by length too, at several batch sizes: the
best of them is the bar. One text at a time is the same call for each text alone. The rounds take turns, and the fastest
of each counts: other work on the machine only ever slows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import kayak
from sentence_transformers import MultiVectorEncoder
from train_colbert import rows_of

BATCH_SIZES = (8, 16, 32, 64)
DEFAULT = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="test collection in BEIR layout")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a ColBERT checkpoint")
    parser.add_argument("--documents", type=int, default=256, help="how many titles, evenly over the collection")
    parser.add_argument("--thinning", type=int, default=4, help="every so many of their abstracts")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* tokens, and the model reads the first")
    corpus = [row for row in rows_of(options.data / "corpus.jsonl") if row["title"] and row["text"]]
    chosen = corpus[:: max(1, len(corpus) // options.documents)][: options.documents]
    model = MultiVectorEncoder(str(options.checkpoint), local_files_only=True, device="cpu")
    for sort, documents in (
        ("titles", [(row["_id"], row["title"]) for row in chosen]),
        ("abstracts", [(row["_id"], row["text"]) for row in chosen[:: options.thinning]]),
    ):
        characters = sum(len(text) for _, text in documents)
        print(f"{len(documents)} {sort}, {characters:,} characters, {os.cpu_count()} CPUs")
        for name, seconds in fastest(ways(model, documents), options.rounds).items():
            print(f"  {name:<44}{len(documents) / seconds:>8.1f} documents/s", flush=True)
    return 0


def ways(model: Any, documents: list[tuple[str, str]]) -> dict[str, Callable[[], object]]:
    """Return the ways to encode documents, by name."""
    texts = [text for _, text in documents]
    found: dict[str, Callable[[], object]] = {}
    for size in BATCH_SIZES:
        found[f"the model directly, batches of {size}"] = partial(model.encode_document, texts, batch_size=size)
    for size in BATCH_SIZES:
        default = " (default)" if size == DEFAULT else ""
        found[f"kayak colbert, batches of {size}{default}"] = partial(encode, model, size, documents)
    found["kayak colbert, into a retriever"] = partial(index, model, documents)
    found["one text at a time"] = lambda: [model.encode_document(text) for text in texts]
    return found


def fastest(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the seconds of the fastest round of each way."""
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


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
