"""`where` filters in Chroma's own terms, exactly, and the part of a filter that Chroma cannot evaluate."""

from __future__ import annotations

import math
from typing import Any

from kayak import And, Comparison, Not, Or, Where

from kayak_chromadb.filter_values import float_key, integer_key, plain_key, sortable

PUSHED_OPERATORS = ("$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$and", "$or")

# SQLite, below Chroma, bounds the depth of an expression and the values of a statement.
_MOST_CLAUSES = 300
_MOST_VALUES = 10_000

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_ORDERINGS = ("$gt", "$gte", "$lt", "$lte")


def split(where: Where) -> tuple[Where | None, Where | None]:
    """Divide a filter into the part that Chroma evaluates exactly and the rest."""
    return where.divide(_fits)


def chroma_where(where: Where | None) -> dict[str, Any] | None:
    """Return the part of a filter that `split` gave to Chroma as Chroma's `where`."""
    return None if where is None else _translate(where)


def _fits(where: Where) -> bool:
    translated = _translate(where)
    if translated is None:
        return False
    clauses, values = _size(translated)
    return clauses <= _MOST_CLAUSES and values <= _MOST_VALUES


def _size(translated: dict[str, Any]) -> tuple[int, int]:
    """Return how many comparisons and how many values a translated filter has."""
    ((key, condition),) = translated.items()
    if key in ("$and", "$or"):
        sizes = [_size(clause) for clause in condition]
        return sum(clauses for clauses, _ in sizes), sum(values for _, values in sizes)
    (operand,) = condition.values()
    return 1, len(operand) if isinstance(operand, list) else 1


def _translate(where: Where) -> dict[str, Any] | None:
    """Return Chroma's filter with the same meaning, or None where it has none."""
    if isinstance(where, (And, Or)):
        clauses = [_translate(clause) for clause in where.clauses]
        known = [clause for clause in clauses if clause is not None]
        return _joined("$and" if isinstance(where, And) else "$or", known) if len(known) == len(clauses) else None
    if isinstance(where, Not):
        # Chroma's $ne and $nin match documents without the key, as the complement must; other operators have none.
        equal = where.clause if isinstance(where.clause, Comparison) else None
        return None if equal is None else _equalities(equal, negated=True)
    if isinstance(where, Comparison) and where.operator in _ORDERINGS:
        return _ordering(where)
    return _equalities(where, negated=False) if isinstance(where, Comparison) else None


def _joined(operator: str, clauses: list[dict[str, Any]]) -> dict[str, Any] | None:
    if len(clauses) > 1:
        return {operator: clauses}
    return clauses[0] if clauses else None


def _equalities(where: Comparison, *, negated: bool) -> dict[str, Any] | None:
    """Translate `$eq` and `$in`, or their complements."""
    if where.operator not in ("$eq", "$in"):
        return None
    operands = where.value if where.operator == "$in" else [where.value]
    if not all(isinstance(operand, (str, bool, int, float)) for operand in operands):
        return None
    texts: set[Any] = {operand for operand in operands if isinstance(operand, str)}
    truths: set[Any] = {operand for operand in operands if isinstance(operand, bool)}
    numbers = [operand for operand in operands if isinstance(operand, (int, float)) and not isinstance(operand, bool)]
    integers: set[Any] = {int(n) for n in numbers if n == math.floor(n) and _INT64_MIN <= n <= _INT64_MAX}
    floats: set[Any] = {sortable(float(n)) for n in numbers if float(n) == n}
    keys = (plain_key(where.key), plain_key(where.key), integer_key(where.key), float_key(where.key))
    clauses = [
        _equality(key, sorted(values), negated)
        for key, values in zip(keys, (texts, truths, integers, floats), strict=True)
        if values
    ]
    return _joined("$and" if negated else "$or", clauses)


def _equality(key: str, values: list[Any], negated: bool) -> dict[str, Any]:
    if len(values) == 1:
        return {key: {"$ne" if negated else "$eq": values[0]}}
    return {key: {"$nin" if negated else "$in": values}}


def _ordering(where: Comparison) -> dict[str, Any] | None:
    """Translate an ordering of numbers; Chroma has none for strings."""
    bound = where.value
    if isinstance(bound, str):
        return None
    clauses = [_integers(where.key, where.operator, bound), _floats(where.key, where.operator, bound)]
    return _joined("$or", [clause for clause in clauses if clause is not None])


def _integers(key: str, operator: str, bound: float) -> dict[str, Any] | None:
    """Compare stored integers with any number; None where no 64-bit integer can match."""
    limit = math.floor(bound) if operator in ("$gt", "$lte") else math.ceil(bound)
    if operator in ("$gt", "$gte"):
        if limit > _INT64_MAX:
            return None
        return {integer_key(key): {operator: limit} if limit >= _INT64_MIN else {"$gte": _INT64_MIN}}
    if limit < _INT64_MIN:
        return None
    return {integer_key(key): {operator: limit} if limit <= _INT64_MAX else {"$lte": _INT64_MAX}}


def _floats(key: str, operator: str, bound: float) -> dict[str, Any]:
    """Compare stored floats with any number, also with an integer that lies between two floats."""
    nearest = float(bound)
    if nearest > bound:  # no float lies between the bound and `nearest`
        operator = "$gte" if operator in ("$gt", "$gte") else "$lt"
    elif nearest < bound:
        operator = "$gt" if operator in ("$gt", "$gte") else "$lte"
    return {float_key(key): {operator: sortable(nearest)}}
