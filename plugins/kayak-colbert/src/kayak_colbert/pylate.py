"""A `ColBERT` model of PyLate as a `TokenModel`, by its methods alone: PyLate is never imported."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import kayak
import numpy as np

from kayak_colbert.models import Vectors, readable, tokens_at_once, untruncated_counts
from kayak_colbert.multi_vector import tokenizer_rules
from kayak_colbert.pooling import check_pooling
from kayak_colbert.texts import Side

_METHODS = ("encode", "tokenize", "skiplist_mask")


class PyLateModel:
    """Encodes through PyLate's `encode(…, is_query=…)`.

    Args:
        model: a `pylate.models.ColBERT`.
        token_pooling: PyLate's pooling factor, a whole number ≥ 1, or None.

    Raises:
        kayak.InvalidTypeError, kayak.InvalidInputError: another sort of pooling.
    """

    def __init__(self, model: Any, token_pooling: object) -> None:
        if token_pooling is not None and (isinstance(token_pooling, bool) or not isinstance(token_pooling, int)):
            raise kayak.InvalidTypeError(
                f"a PyLate model pools by a whole factor such as token_pooling=2, got {token_pooling!r:.60}"
            )
        check_pooling(token_pooling)
        self._model = model
        self._pool_factor = 1 if token_pooling is None else token_pooling
        self.dim = int(model.get_sentence_embedding_dimension())
        self.tokens_at_once = tokens_at_once(getattr(model, "device", None))

    @staticmethod
    def accepts(model: Any) -> bool:
        """Return whether it looks like such a model."""
        if isinstance(model, type) or not all(callable(getattr(model, name, None)) for name in _METHODS):
            return False
        return "is_query" in inspect.signature(model.encode).parameters

    def encode(self, texts: Sequence[str], side: Side) -> list[Vectors]:
        """Encode texts in one forward pass, float32 of shape (token vectors, dim) each."""
        pooled = {"pool_factor": self._pool_factor} if side == "document" and self._pool_factor > 1 else {}
        found = self._model.encode(
            list(texts),
            batch_size=len(texts),
            is_query=side == "query",
            convert_to_numpy=True,
            show_progress_bar=False,
            **pooled,
        )
        return [np.ascontiguousarray(vectors, dtype=np.float32) for vectors in found]

    def max_tokens(self, side: Side) -> int | None:
        """Return how many tokens of a text are read, special ones included; None means all."""
        length = getattr(self._model, f"{side}_length")
        return None if length is None else int(length)

    def count_tokens(self, texts: Sequence[str], side: Side) -> list[int]:
        """Return how many tokens each text has before it is cut, special ones and the marker included."""
        marker = getattr(self._model, f"{side}_prefix_id") is not None
        return [count + marker for count in untruncated_counts(self._model.tokenizer, texts)]

    def token_strings(self, text: str, side: Side) -> list[str]:
        """Return the tokens that the rows of `encode` stand for.

        Raises:
            kayak.UnsupportedOperationError: documents are pooled, and PyLate does not say which tokens it merged.
        """
        if side == "document" and self._pool_factor > 1:
            raise kayak.UnsupportedOperationError(
                "PyLate does not say which tokens it pooled; open the model without token_pooling=, or save it and "
                "open the folder with model_name="
            )
        features = self._model.tokenize([text], is_query=side == "query")
        ids = features["input_ids"][0]
        if side == "document":
            keep = features["attention_mask"][0].bool() & self._model.skiplist_mask(ids, self._model.skiplist)
            ids = ids[keep]
        elif not self._model.do_query_expansion:
            ids = ids[features["attention_mask"][0].bool()]
        return readable(self._model.tokenizer, ids.tolist())

    def settings(self) -> Mapping[str, object]:
        """Return what the vectors depend on besides weights and vocabulary, as JSON values."""
        names = ("query_prefix", "document_prefix", "do_query_expansion", "attend_to_expansion_tokens")
        return {
            **{name: getattr(self._model, name) for name in names},
            "skiplist": sorted(self._model.skiplist_words),
            "modules": [type(module).__name__ for module in self._model],
            "pooling": None if self._pool_factor == 1 else f"pylate {self._pool_factor}",
        }

    def weights(self) -> Mapping[str, Any]:
        """Return the parameters, as tensors by name."""
        found: Mapping[str, Any] = self._model.state_dict()
        return found

    def vocabulary(self) -> str:
        """Return the tokenizer's rules and vocabulary as text."""
        return tokenizer_rules(self._model.tokenizer)
