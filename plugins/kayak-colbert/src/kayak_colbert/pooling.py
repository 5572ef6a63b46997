"""Token pooling: fewer vectors a document, each for several tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import kayak
import numpy as np
import numpy.typing as npt

_TOLERANCE = 1e-3
"""How far a pooled vector may lie from the one that is explained; half-precision models need this much."""


@attrs.frozen
class Pooling:
    """A pooling operator and its name.

    Attributes:
        operator: a `BaseTokenPooling` of sentence-transformers.
        name: says everything that the pooled vectors depend on; None where nothing says it.
    """

    operator: Any
    name: str | None


def check_pooling(token_pooling: object) -> None:
    """Check the argument `token_pooling` without importing anything.

    Raises:
        kayak.InvalidTypeError: neither a number nor a pooling object.
        kayak.InvalidInputError: a factor below 1, or not finite.
    """
    if isinstance(token_pooling, int | float) and not isinstance(token_pooling, bool):
        if not 1 <= token_pooling < float("inf"):
            raise kayak.InvalidInputError(
                f"token_pooling={token_pooling!r} keeps one vector in so many, so it must be at least 1; None switches "
                "it off"
            )
    elif token_pooling is not None and (
        not callable(getattr(token_pooling, "pool_one", None)) or isinstance(token_pooling, type)
    ):
        raise kayak.InvalidTypeError(
            "token_pooling must be a factor such as 2, or a pooling object of sentence-transformers, got "
            f"{token_pooling!r:.60}"
        )


def pooling_of(token_pooling: object) -> Pooling | None:
    """Make the operator that the argument `token_pooling` means: a factor, a pooling object, or None.

    Raises:
        kayak.InvalidTypeError, kayak.InvalidInputError: see `check_pooling`.
    """
    check_pooling(token_pooling)
    if token_pooling is None:
        return None
    if isinstance(token_pooling, int | float):
        from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

        return Pooling(HierarchicalTokenPooling(float(token_pooling)), f"{token_pooling:g}")
    return Pooling(token_pooling, _name(token_pooling))


def merged_tokens(
    names: Sequence[str], vectors: Any, poolings: Sequence[Any], expected: npt.NDArray[np.float32]
) -> list[str]:
    """Return for each pooled vector the tokens that it stands for, joined by "+".

    A pooling operator returns vectors, not which tokens it merged. So each token vector gets one more component that
    is its own: as token vectors are compared by dot products, and no two share such a component, the operator merges
    the same tokens as before, and the components of a pooled vector say whose mean it is.

    Args:
        names: one string a token.
        vectors: torch tensor of shape (tokens, dim), before pooling.
        poolings: the operators, in order.
        expected: the pooled vectors that are to be named, shape (pooled, dim).

    Raises:
        kayak.UnsupportedOperationError: the operator is none that averages tokens, so its vectors have no names.
    """
    import torch

    marked = torch.cat([vectors.float(), torch.eye(len(names))], dim=1)
    for operator in poolings:
        marked = operator.pool_one(marked)
    found = marked.numpy()
    dim = vectors.shape[1]
    if found.shape[0] != len(expected) or not np.allclose(
        _unit(found[:, :dim]), _unit(expected), rtol=0.0, atol=_TOLERANCE
    ):
        raise kayak.UnsupportedOperationError(
            f"{', '.join(type(operator).__name__ for operator in poolings)} does not average tokens, so its vectors "
            "cannot be named by the tokens that they stand for"
        )
    return ["+".join(names[place] for place in np.flatnonzero(row).tolist()) for row in found[:, dim:]]


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors / norms, dtype=np.float32)


def _name(operator: Any) -> str | None:
    if hasattr(operator, "pool_fn"):  # a function has no name that changes with what it does
        return None
    keys = {key: getattr(operator, key, None) for key in sorted(getattr(operator, "config_keys", ()))}
    return f"{type(operator).__name__}({', '.join(f'{key}={value!r}' for key, value in keys.items())})"
