"""Translates `where` filters into Weaviate's, over the terms of `kayak_weaviate.terms`.

Every comparison asks whether a term is there, so a document without the key never matches one, and the complement of
a filter is exact: the two-valued logic of `kayak.Where`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import kayak
from weaviate.classes.query import Filter, FilterReturn

from kayak_weaviate.terms import key_term, value_term

TERMS: Final = "terms"
"""The property that holds a document's terms."""

PUSHDOWN: Final = ("$eq", "$ne", "$in", "$nin", "$exists", "$and", "$or", "$not")
"""Operators that Weaviate evaluates; orderings are left to the client."""

Condition = FilterReturn | Literal["all", "none"]
"""A filter of Weaviate's, or what needs no asking: every document, or no document."""


def translate(where: kayak.Where | None) -> Condition:
    """Return a filter in Weaviate's form.

    Args:
        where: a filter that uses no operators but those of `PUSHDOWN`; None for no filter.
    """
    if where is None:
        return "all"
    if isinstance(where, kayak.Comparison):
        return _comparison(where)
    if isinstance(where, kayak.Not):
        return _negated(translate(where.clause))
    if isinstance(where, kayak.And):
        return both(*map(translate, where.clauses))
    if isinstance(where, kayak.Or):
        return _either(map(translate, where.clauses))
    raise kayak.FilterError(f"Weaviate cannot evaluate a filter of type {type(where).__name__}")


def both(*conditions: Condition) -> Condition:
    """Return what holds where all conditions hold."""
    asked: list[FilterReturn] = []
    for condition in conditions:
        if condition == "none":
            return "none"
        if condition != "all":
            asked.append(condition)
    if not asked:
        return "all"
    return asked[0] if len(asked) == 1 else Filter.all_of(asked)


def _either(conditions: Iterable[Condition]) -> Condition:
    asked: list[FilterReturn] = []
    for condition in conditions:
        if condition == "all":
            return "all"
        if condition != "none":
            asked.append(condition)
    if not asked:
        return "none"
    return asked[0] if len(asked) == 1 else Filter.any_of(asked)


def _negated(condition: Condition) -> Condition:
    if condition == "all":
        return "none"
    return "all" if condition == "none" else Filter.not_(condition)


def _comparison(where: kayak.Comparison) -> Condition:
    if where.operator == "$eq":
        return has_term(value_term(where.key, where.value))
    if where.operator == "$exists":
        present = has_term(key_term(where.key))
        return present if where.value else Filter.not_(present)
    if where.operator == "$in":
        terms = list(dict.fromkeys(value_term(where.key, value) for value in where.value))
        return Filter.by_property(TERMS).contains_any(terms) if terms else "none"
    raise kayak.FilterError(f"Weaviate cannot evaluate {where.operator}; it evaluates {', '.join(PUSHDOWN)}")


def has_term(term: str) -> FilterReturn:
    """Return the filter for documents that have a term."""
    return Filter.by_property(TERMS).equal(term)
