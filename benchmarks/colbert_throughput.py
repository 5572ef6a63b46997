"""Documents per second of the encoder `colbert`, beside its model called directly.

    python benchmarks/colbert_throughput.py --data DATA/cranfield --checkpoint minilm-colbert [--documents 256]

Two sorts of texts: titles, of a dozen words, and abstracts, of about two hundred. The model called directly is
`MultiVectorEncoder.encode_document` over all texts at once, which sorts them by length too, at several batch sizes: the
best of them is the bar. One text at a time is the same call for each text alone. The rounds take turns, and the fastest
of each counts: other work on the machine only ever slows.

Each figure is also shown as a share of what no program that multiplies in float32 on these cores can exceed: the
fastest matrix multiplication that torch does here, over shapes of the model and a large square, divided by the
operations of the model's matrix products, counted from its configuration and the lengths of the texts. Activations,
norms, softmax, tokenizing and padding come on top, and are not counted. Where one text at a time reaches more than a
third of the limit, batches cannot be three times as fast.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import kayak
import torch
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
        operations = sum(operations_of(model, length) for length in lengths_of(model, [text for _, text in documents]))
        print(f"{len(documents)} {sort}, {characters:,} characters, {torch.get_num_threads()} threads")
        found, rate = fastest(ways(model, documents), partial(multiplication_rate, model), options.rounds)
        limit = len(documents) * rate / operations
        print(f"  {rate / 1e9:.0f} GFLOP/s in float32, {operations / len(documents) / 1e9:.2f} GFLOP a document")
        print(f"  {'limit':<44}{limit:>8.1f} documents/s")
        for name, seconds in found.items():
            speed = len(documents) / seconds
            print(f"  {name:<44}{speed:>8.1f} documents/s {speed / limit:>6.0%} of the limit", flush=True)
    return 0


def lengths_of(model: Any, texts: Sequence[str]) -> list[int]:
    """Return the tokens of each text that the model reads, markers included."""
    marked = [f"{model.prompts.get('document') or ''}{text}" for text in texts]
    longest = model[0].document_length
    return [min(len(ids), longest) for ids in model.tokenizer(marked, verbose=False)["input_ids"]]


def operations_of(model: Any, length: int) -> int:
    """Count the multiplications and additions of the model's matrix products for one text of so many tokens."""
    config = model[0].auto_model.config
    hidden, inner = config.hidden_size, config.intermediate_size
    weights = config.num_hidden_layers * (4 * hidden * hidden + 2 * hidden * inner)
    attention = config.num_hidden_layers * 2 * length * hidden
    return 2 * length * (weights + attention + hidden * model.get_embedding_dimension())


def multiplication_rate(model: Any) -> float:
    """Return the operations a second of the fastest of some matrix multiplications."""
    config = model[0].auto_model.config
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes = [(2048, hidden, hidden), (2048, hidden, inner), (256, hidden, inner), (2048, inner, hidden), (1024,) * 3]
    best = 0.0
    for rows, depth, columns in shapes:
        left, right = torch.ones(rows, depth), torch.ones(columns, depth)
        for _ in range(20):
            started = time.perf_counter()
            torch.nn.functional.linear(left, right)
            best = max(best, 2 * rows * depth * columns / (time.perf_counter() - started))
    return best


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


def fastest(
    ways: dict[str, Callable[[], object]], measure_rate: Callable[[], float], rounds: int
) -> tuple[dict[str, float], float]:
    """Return the seconds of the fastest round of each way, and the best rate."""
    seconds = dict.fromkeys(ways, float("inf"))
    rate = 0.0
    for _ in range(rounds):
        rate = max(rate, measure_rate())
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds, rate


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
