"""`where` filters as conditions on the `metadata` column, with the meaning of `kayak.Where.matches`.

Values and keys are parameters, never part of the SQL. Every condition is true or false, never null, so that `NOT` is
the exact complement. Equality is written with `@>`, which the GIN index serves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import kayak
from psycopg import sql

from kayak_pgvector.encoding import filter_json, filter_key

PUSHED_DOWN = ("$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$exists", "$and", "$or", "$not")
MAX_COMPARISONS = 1000
"""Comparisons in one condition; PostgreSQL takes 65,535 parameters, three of which a comparison may need."""

MAX_INDEXED_OPERANDS = 32
"""Operands of `$in` that are looked up in the index one by one; more are compared with each document instead."""

_ORDERINGS = {"$gt": "strict $ > $v", "$gte": "strict $ >= $v", "$lt": "strict $ < $v", "$lte": "strict $ <= $v"}


@attrs.frozen
class Condition:
    """A boolean SQL expression that is never null, and its parameters in order."""

    query: sql.Composable
    parameters: tuple[Any, ...] = ()


TRUE = Condition(sql.SQL("true"))


def can_translate(where: kayak.Where) -> bool:
    """Whether `condition` translates the filter: it does not hold too many comparisons, or ones unknown here."""
    return _comparisons(where) <= MAX_COMPARISONS


def _comparisons(where: kayak.Where) -> int:
    if isinstance(where, kayak.Not):
        return _comparisons(where.clause)
    if isinstance(where, (kayak.And, kayak.Or)):
        return sum(map(_comparisons, where.clauses))
    return 1 if isinstance(where, kayak.Comparison) else MAX_COMPARISONS + 1


def condition(where: kayak.Where) -> Condition:
    """Translate a filter.

    Raises:
        InvalidTypeError: `can_translate` would have said no.
    """
    if isinstance(where, kayak.Not):
        inner = condition(where.clause)
        return Condition(sql.SQL("NOT {}").format(inner.query), inner.parameters)
    if isinstance(where, kayak.And):
        return joined("AND", map(condition, where.clauses)) if where.clauses else TRUE
    if isinstance(where, kayak.Or):
        return _any(map(condition, where.clauses))
    if isinstance(where, kayak.Comparison):
        return _comparison(where.key, where.operator, where.value)
    raise kayak.InvalidTypeError(f"{type(where).__name__} is no filter that PostgreSQL can evaluate")


def joined(word: str, conditions: Iterable[Condition]) -> Condition:
    """Join conditions, at least one, by AND or OR."""
    parts = tuple(conditions)
    separator = sql.SQL(" AND " if word == "AND" else " OR ")
    query = sql.SQL("({})").format(separator.join(part.query for part in parts))
    return Condition(query, tuple(value for part in parts for value in part.parameters))


def _any(conditions: Iterable[Condition]) -> Condition:
    parts = tuple(conditions)
    return joined("OR", parts) if parts else Condition(sql.SQL("false"))


def _comparison(key: str, operator: str, operand: Any) -> Condition:
    column_key = filter_key(key)
    if operator == "$exists":
        present = Condition(sql.SQL("metadata ? %s::text"), (column_key,))
        return present if operand else Condition(sql.SQL("NOT (metadata ? %s::text)"), (column_key,))
    if operator == "$eq":
        return _equal(column_key, key, operand)
    if operator == "$in":
        if len(operand) <= MAX_INDEXED_OPERANDS:
            return _any(_equal(column_key, key, value) for value in operand)
        values = [filter_json(value) for value in operand]
        return Condition(sql.SQL("((metadata -> %s::text = ANY (%s::text[]::jsonb[])) IS TRUE)"), (column_key, values))
    # `strict` compares the value itself; `lax` would look into lists.
    query = sql.SQL("(jsonb_path_match(metadata -> %s::text, {}, %s::jsonb, true) IS TRUE)")
    return Condition(query.format(sql.Literal(_ORDERINGS[operator])), (column_key, filter_json({"v": operand})))


def _equal(column_key: str, key: str, operand: Any) -> Condition:
    contains = Condition(sql.SQL("metadata @> %s::jsonb"), (filter_json({key: operand}),))
    if not isinstance(operand, (list, dict)):
        return contains
    # A list or an object also contains smaller ones.
    same = Condition(sql.SQL("metadata -> %s::text = %s::jsonb"), (column_key, filter_json(operand)))
    return joined("AND", (contains, same))
