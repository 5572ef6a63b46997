"""A `MultiVectorEncoder` of sentence-transformers as a `TokenModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import kayak
import numpy as np

from kayak_colbert.models import Vectors, readable, tokens_at_once, untruncated_counts
from kayak_colbert.pooling import Pooling, merged_tokens, pooling_of
from kayak_colbert.texts import Side

_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""In the order in which `MultiVectorEncoder.encode_document` looks for one."""


class MultiVectorModel:
    """Encodes through `encode_query` and `encode_document` of the model, which knows prompts, masks and expansion.

    Args:
        model: a `sentence_transformers.MultiVectorEncoder`.
        token_pooling: a factor ≥ 1, a `BaseTokenPooling` of sentence-transformers, or None.
    """

    def __init__(self, model: Any, token_pooling: object) -> None:
        self._model = model
        self._pooling: Pooling | None = pooling_of(token_pooling)
        self.dim = int(model.get_embedding_dimension())
        self.tokens_at_once = tokens_at_once(model.device)

    @staticmethod
    def accepts(model: Any) -> bool:
        """Return whether it is such a model, without importing its package for others."""
        return any(
            base.__name__ == "MultiVectorEncoder" and base.__module__.startswith("sentence_transformers.")
            for base in type(model).__mro__
        )

    def encode(self, texts: Sequence[str], side: Side) -> list[Vectors]:
        """Encode texts in one forward pass, float32 of shape (token vectors, dim) each."""
        encode = self._model.encode_query if side == "query" else self._model.encode_document
        found = encode(
            list(texts),
            batch_size=len(texts),
            convert_to_numpy=True,
            show_progress_bar=False,
            token_pooling=None if self._pooling is None else self._pooling.operator,
        )
        return [np.ascontiguousarray(vectors, dtype=np.float32) for vectors in found]

    def max_tokens(self, side: Side) -> int | None:
        """Return how many tokens of a text are read, special ones included; None means all."""
        first = self._model[0]
        expansion = getattr(first, "query_expansion", None) if side == "query" else None
        own = getattr(first, f"{side}_length", None)
        if expansion is not None and expansion["strategy"] == "fixed":
            own = expansion["length"]
        elif expansion is not None and own is not None:
            own = max(own, expansion["length"])
        return int(own or self._model.max_seq_length or 0) or None

    def count_tokens(self, texts: Sequence[str], side: Side) -> list[int]:
        """Return how many tokens each text has before it is cut, special ones included."""
        prompt = self._prompt(side)
        return untruncated_counts(self._model.tokenizer, [prompt + text for text in texts])

    def token_strings(self, text: str, side: Side) -> list[str]:
        """Return the tokens that the rows of `encode` stand for; what pooling merged is joined by "+"."""
        poolings = [operator for operator in self._poolings() if operator.applies_to(side)]
        names = self._unpooled_names(text, side)
        if not poolings:
            return names
        unpooled = self._without_pooling()
        encode = unpooled.encode_query if side == "query" else unpooled.encode_document
        vectors = encode(text, show_progress_bar=False).cpu()
        return merged_tokens(names, vectors, poolings, self.encode([text], side)[0])

    def settings(self) -> Mapping[str, object]:
        """Return what the vectors depend on besides weights and vocabulary, as JSON values."""
        first = self._model[0]
        return {
            "modules": [_module_settings(module) for module in self._model],
            "prompts": {"query": self._prompt("query"), "document": self._prompt("document")},
            "query_expansion": getattr(first, "query_expansion", None),
            "pooling": None if self._pooling is None else self._pooling.name,
        }

    def weights(self) -> Mapping[str, Any]:
        """Return the parameters, as tensors by name."""
        found: Mapping[str, Any] = self._model.state_dict()
        return found

    def vocabulary(self) -> str:
        """Return the tokenizer's rules and vocabulary as text."""
        return tokenizer_rules(self._model.tokenizer)

    def _prompt(self, side: Side) -> str:
        prompts = self._model.prompts
        names = ("query",) if side == "query" else _DOCUMENT_PROMPTS
        default = prompts.get(self._model.default_prompt_name) if self._model.default_prompt_name else None
        return next((prompts[name] for name in names if name in prompts), default) or ""

    def _unpooled_names(self, text: str, side: Side) -> list[str]:
        features = self._model.preprocess([text], prompt=self._prompt(side), task=side)
        if "input_ids" not in features or "attention_mask" not in features:
            raise kayak.UnsupportedOperationError("this model does not say which token each of its vectors stands for")
        for module in self._model:
            if type(module).__name__ == "MultiVectorMask":
                features = module(features, task=side)
        kept = features["input_ids"][0][features["attention_mask"][0].bool()]
        return readable(self._model.tokenizer, kept.tolist())

    def _poolings(self) -> list[Any]:
        built_in = [module for module in self._model if hasattr(module, "pool_one")]
        return built_in if self._pooling is None else [*built_in, self._pooling.operator]

    def _without_pooling(self) -> Any:
        if not any(hasattr(module, "pool_one") for module in self._model):
            return self._model
        modules = [module for module in self._model if not hasattr(module, "pool_one")]
        return type(self._model)(modules=modules, prompts=dict(self._model.prompts), device=str(self._model.device))


def tokenizer_rules(tokenizer: Any) -> str:
    """Return a tokenizer's rules and vocabulary as text, without what a call leaves behind in it."""
    import json

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps([type(tokenizer).__name__, tokenizer.get_vocab()], sort_keys=True)
    rules = json.loads(backend.to_str())
    return json.dumps({name: rules[name] for name in rules if name not in ("truncation", "padding")}, sort_keys=True)


def _module_settings(module: Any) -> list[object]:
    """Name a module and what shapes its output; where files lie and what reports call it does not."""
    name = type(module).__name__
    if name == "MultiVectorMask":
        return [name, sorted(module.skiplist_words), sorted(module.skiplist_tasks), module.keep_only_token_ids]
    if name == "Dense":
        return [name, type(module.activation_function).__name__]
    if hasattr(module, "pool_one"):
        return [name, {key: getattr(module, key, None) for key in sorted(module.config_keys)}]
    return [name]
