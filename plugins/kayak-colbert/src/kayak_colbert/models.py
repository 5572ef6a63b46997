"""One face for the models that give token vectors: what `ColbertEncoder` needs of each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import kayak
import numpy as np
import numpy.typing as npt

from kayak_colbert.texts import Side

Vectors = npt.NDArray[np.float32]


class TokenModel(Protocol):
    """A loaded model.

    Attributes:
        dim: dimension of the token vectors.
        tokens_at_once: most tokens that one forward pass should have, padding included; None where more is faster.
    """

    dim: int
    tokens_at_once: int | None

    def encode(self, texts: Sequence[str], side: Side) -> list[Vectors]:
        """Encode texts in one forward pass, float32 of shape (token vectors, dim) each."""

    def max_tokens(self, side: Side) -> int | None:
        """Return how many tokens of a text are read, special ones included; None means all."""

    def count_tokens(self, texts: Sequence[str], side: Side) -> list[int]:
        """Return how many tokens each text has before it is cut, special ones included."""

    def token_strings(self, text: str, side: Side) -> list[str]:
        """Return the tokens that the rows of `encode` stand for."""

    def settings(self) -> Mapping[str, object]:
        """Return what the vectors depend on besides weights and vocabulary, as JSON values."""

    def weights(self) -> Mapping[str, Any]:
        """Return the parameters, as tensors by name."""

    def vocabulary(self) -> str:
        """Return the tokenizer's rules and vocabulary as text."""


def adapt(model: Any, token_pooling: object) -> TokenModel:
    """Give a loaded model that face.

    Args:
        model: a `MultiVectorEncoder` of sentence-transformers, or a `ColBERT` of PyLate.
        token_pooling: a factor, a pooling object of sentence-transformers, or None.

    Raises:
        kayak.InvalidTypeError: another sort of model, or of pooling.
        kayak.InvalidInputError: a factor below 1.
    """
    from kayak_colbert.multi_vector import MultiVectorModel
    from kayak_colbert.pylate import PyLateModel

    for adapter in (MultiVectorModel, PyLateModel):
        if adapter.accepts(model):
            made: TokenModel = adapter(model, token_pooling)
            return made
    name = type(model).__name__
    if callable(getattr(model, "encode_query_tokens", None)):
        raise kayak.InvalidTypeError(
            f"{name} has methods of its own for token vectors: open it with kayak.open_encoder('callable', model=…)"
        )
    raise kayak.InvalidTypeError(
        f"model= takes a MultiVectorEncoder of sentence-transformers or a ColBERT of PyLate, got {name}"
        + ("; one vector a text is no late interaction" if name == "SentenceTransformer" else "")
        + "; any other model goes through kayak.open_encoder('callable', …)"
    )


def tokens_at_once(device: object) -> int | None:
    """Return how many tokens one forward pass should have on a device; None where more is faster.

    On a CPU some hundred tokens keep all cores busy: what more of them save is less than what padding costs.
    """
    return 2048 if getattr(device, "type", "cpu") == "cpu" else None


def readable(tokenizer: Any, token_ids: Sequence[int]) -> list[str]:
    """Return token strings for people: without the marks that tokenizers put for spaces and bytes."""
    return [_readable(tokenizer, token_id) for token_id in token_ids]


def _readable(tokenizer: Any, token_id: int) -> str:
    added = tokenizer.added_tokens_decoder.get(token_id)
    if added is not None:
        return str(added.content).strip()
    decoded = str(tokenizer.decode([token_id])).strip()
    # A part of a character decodes to nothing, or to a replacement character.
    if decoded and "\N{REPLACEMENT CHARACTER}" not in decoded:
        return decoded
    return str(tokenizer.convert_ids_to_tokens([token_id])[0])


def untruncated_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text has, special ones included, however many the model reads."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # a tokenizer in Python; verbose=False: it would warn of lengths that the model is never given
        return [len(ids) for ids in tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]]
    # Each call of the tokenizer sets both anew. Asked directly, it makes no offsets and no masks, in half the time.
    backend.no_truncation()
    backend.no_padding()
    return [len(encoding) for encoding in backend.encode_batch_fast(list(texts))]
