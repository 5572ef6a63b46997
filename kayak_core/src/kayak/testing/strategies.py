"""Hypothesis strategies for ids, metadata, filters and token matrices.

Values come from small pools on purpose: a random filter then often meets a row that nearly matches it, such
as 1 against True or 1.0. Needs `hypothesis`, which the `testing` extra installs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kayak.typing import Float32Matrix

__all__ = ["doc_ids", "metadata_rows", "metadata_values", "token_matrices", "where_filters"]

METADATA_KEYS = ("year", "topic", "a.b", "", "naïve key", "quote'\"`]")
"""Keys that rows and filters share; a store that builds paths or SQL from keys must survive all of them."""

_NUMBERS: tuple[int | float, ...] = (
    *(0, 1, -1, 2, 10, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 1.5, -1.0, 2.0**53, 2.0**63, 1e-310, 1e300, -1e300),
)
_STRINGS = (
    "",
    "1",
    "true",
    "null",
    "a",
    "A",
    "b",
    "ab",
    "a b",
    " a",
    "é",
    "e\u0301",
    "\uffff",
    "\U0001f600",
    "%",
    "'; --",
)
_HOSTILE_IDS = (
    *(
        "0",
        "1.0",
        "None",
        "null",
        " ",
        " leading",
        "trailing ",
        "tab\t",
        "line\nbreak",
        "\x00",
        "nul\x00inside",
    ),
    *("'", '"', "`", "\\", "'; DROP TABLE documents; --", "%", "_", "*", "?", "$where", "{}", "[0]"),
    *("/", "..", "../../etc/passwd", "a/b", "C:\\con", "-rf", "é", "e\u0301", "İ", "ß", "\u202eabc", "שלום"),
    *("\U0001f600", "👩‍👩‍👧", "\ufeffbom", "\uffff", "\U0010ffff", "x" * 200, "长" * 200),
)


def _scalars() -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.booleans(), st.sampled_from(_NUMBERS), st.sampled_from(_STRINGS), st.integers(-3, 3))


def metadata_values(*, max_leaves: int = 4) -> st.SearchStrategy[Any]:
    """Return a strategy for JSON values that collide: 1, 1.0, True and "1", null, lists and objects of them.

    Args:
        max_leaves: About how many scalars a list or an object may hold.
    """
    return st.recursive(
        _scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(("a", "b", "$gt")), inner, max_size=2),
        ),
        max_leaves=max_leaves,
    )


def metadata_rows(*, keys: Sequence[str] = METADATA_KEYS) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for one document's metadata row, which may lack any of the keys.

    Args:
        keys: The keys that a row may have.
    """
    return st.dictionaries(st.sampled_from(keys), metadata_values(), max_size=len(keys))


def _conditions(depth: int) -> st.SearchStrategy[Any]:
    ordered = st.one_of(st.sampled_from(_NUMBERS), st.sampled_from(_STRINGS))
    lists = st.lists(metadata_values(), max_size=3)
    operators: Mapping[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("$eq", "$ne"), metadata_values()),
        **dict.fromkeys(("$in", "$nin"), lists),
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), ordered),
        "$exists": st.booleans(),
    }
    if depth:
        operators = {**operators, "$not": _conditions(depth - 1)}
    names = st.lists(st.sampled_from(tuple(operators)), min_size=1, max_size=2, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: operators[name] for name in chosen}))


def where_filters(*, keys: Sequence[str] = METADATA_KEYS) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for valid `where` filters in dict form, with every operator and nested logic.

    Args:
        keys: The metadata keys that the filter may look at.
    """
    leaves = st.dictionaries(st.sampled_from(keys), st.one_of(_scalars(), _conditions(1)), max_size=2)

    def combine(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        lists = st.lists(inner, max_size=3)
        return st.one_of(
            st.fixed_dictionaries({"$and": lists}),
            st.fixed_dictionaries({"$or": lists}),
            st.fixed_dictionaries({"$not": inner}),
            st.builds(lambda plain, either: {**plain, "$or": either}, leaves, lists),
        )

    return st.recursive(leaves, combine, max_leaves=5)


def doc_ids() -> st.SearchStrategy[str]:
    """Return a strategy for valid document ids: non-empty text, hostile to paths, SQL and terminals."""
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
    return st.one_of(st.sampled_from(_HOSTILE_IDS), st.sampled_from(("a", "b", "c")), text)


def token_matrices(
    *, dim: int, min_tokens: int = 1, max_tokens: int = 6, magnitude: float = 1e6
) -> st.SearchStrategy[Float32Matrix]:
    """Return a strategy for matrices of token vectors.

    Args:
        dim: The dimension of every vector.
        min_tokens: The fewest vectors.
        max_tokens: The most vectors.
        magnitude: The largest absolute value. Dot products stay within float32 while dim × magnitude² does.

    Returns:
        A strategy for float32 arrays of shape (tokens, `dim`). Subnormal numbers, -0.0, equal values and the
        largest magnitude are frequent.
    """
    largest = float(np.float32(magnitude))
    if largest > magnitude:
        largest = float(np.nextafter(np.float32(magnitude), np.float32(0)))
    special = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0**-149, -(2.0**-140), largest, -largest)
    pool = tuple(value for value in special if abs(value) <= largest)
    # `st.floats(width=32)` refuses to run where a library has switched subnormal numbers off on import.
    fractions = st.integers(-(2**20), 2**20).map(lambda n: n / 2**20 * min(largest, 1.0))
    vector = st.lists(st.one_of(st.sampled_from(pool), fractions), min_size=dim, max_size=dim)
    rows = st.lists(vector, min_size=min_tokens, max_size=max_tokens)
    return rows.map(lambda values: np.array(values, dtype=np.float32))
