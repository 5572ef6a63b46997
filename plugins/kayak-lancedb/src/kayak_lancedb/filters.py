"""`where` filters in LanceDB's SQL, with exactly the meaning of `Where.matches`.

A metadata value is taken out of the JSON column in three forms: as JSONB, in which a string is a fixed header followed
by its UTF-8 bytes; as hexadecimal digits of that, whose order is the order of the strings' code points; and as JSON
text, in which a number is an integer's digits or a float with a point or an exponent. No text of the user's becomes
part of a statement: strings are written as hexadecimal literals, which no quoting rule can misread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import kayak

MAX_PUSHED_COMPARISONS = 200
"""Comparisons that are pushed down; planning takes LanceDB about 0.5 ms each, so longer filters go to the client."""

_COMPARE = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_JSONB_SCALAR = "20000000"
_JSONB_STRING = 0x10000000
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def split_filter(where: kayak.Where) -> tuple[kayak.Where | None, kayak.Where | None]:
    """Divide a filter into the part that LanceDB evaluates and the rest.

    Comparisons with lists and objects are left to the client, and so is what exceeds `MAX_PUSHED_COMPARISONS`.
    """
    return where.divide(_fits)


def to_sql(where: kayak.Where, column: str) -> str:
    """Return the predicate for a filter that `split_filter` pushed down, over a JSON column.

    Negations are moved to the comparisons, where they also turn "unknown" (a missing key) into "not equal".
    """
    return _predicate(where, column, negated=False)


def string_literal(text: str) -> str:
    """Return an SQL expression for any text, made of hexadecimal digits only."""
    return f"CAST({_binary(text.encode().hex())} AS STRING)"


def ids_predicate(doc_ids: Iterable[str]) -> str:
    """Return the predicate that selects the documents with the given ids, at least one."""
    return f"id IN ({', '.join(map(string_literal, doc_ids))})"


def _binary(digits: str) -> str:
    return f"X'{digits}'"


def _fits(where: kayak.Where) -> bool:
    comparisons = list(_comparisons(where))
    return len(comparisons) <= MAX_PUSHED_COMPARISONS and all(map(_is_expressible, comparisons))


def _comparisons(where: kayak.Where) -> Iterator[kayak.Comparison]:
    if isinstance(where, kayak.Comparison):
        yield where
    elif isinstance(where, kayak.Not):
        yield from _comparisons(where.clause)
    elif isinstance(where, (kayak.And, kayak.Or)):
        for clause in where.clauses:
            yield from _comparisons(clause)


def _is_expressible(comparison: kayak.Comparison) -> bool:
    operand = comparison.value
    operands = operand if comparison.operator == "$in" else [operand]
    return not any(isinstance(value, (list, dict)) for value in operands)


def _predicate(where: kayak.Where, column: str, *, negated: bool) -> str:
    if isinstance(where, kayak.Not):
        return _predicate(where.clause, column, negated=not negated)
    if isinstance(where, (kayak.And, kayak.Or)):
        all_must_hold = isinstance(where, kayak.And) is not negated
        parts = [_predicate(clause, column, negated=negated) for clause in where.clauses]
        joined = (" AND " if all_must_hold else " OR ").join(parts)
        return f"({joined})" if parts else str(all_must_hold).lower()
    if not isinstance(where, kayak.Comparison):
        raise kayak.FilterError(f"{type(where).__name__} is no filter that LanceDB can evaluate")
    if where.operator == "$exists":
        return f"{_Value(column, where.key).jsonb} IS {'NOT ' if where.value is not negated else ''}NULL"
    test = _test(_Value(column, where.key), where.operator, where.value)
    return f"NOT coalesce({test}, false)" if negated else f"({test})"


class _Value:
    """The SQL expressions for the value of one metadata key; all are null where the key is missing."""

    def __init__(self, column: str, key: str) -> None:
        self.jsonb = f"json_get({column}, {string_literal(key)})"
        self.hex = f"encode({self.jsonb}, 'hex')"
        self.text = f"json_extract({self.jsonb}, '$')"
        self.integer = f"TRY_CAST({self.text} AS BIGINT)"
        self.float = f"TRY_CAST({self.text} AS DOUBLE)"


def _test(value: _Value, operator: str, operand: Any) -> str:
    if operator in _COMPARE:
        return (_string_order if isinstance(operand, str) else _number_order)(value, operator, operand)
    return _membership(value, operand if operator == "$in" else [operand])


def _membership(value: _Value, operands: list[Any]) -> str:
    """Test equality with any of the scalars: strings as JSONB, floats as numbers, the others as JSON text."""
    texts: dict[str, None] = {}
    floats: dict[str, None] = {}
    strings: dict[str, None] = {}
    for operand in operands:
        if operand is None or isinstance(operand, bool):
            texts["null" if operand is None else str(operand).lower()] = None
        elif isinstance(operand, str):
            strings[_jsonb_string(operand)] = None
        else:
            if operand == int(operand) and _INT64_MIN <= operand <= _INT64_MAX:
                texts[str(int(operand))] = None
            if float(operand) == operand:
                floats |= dict.fromkeys(("0.0", "-0.0") if operand == 0 else (repr(float(operand)),))
    tests = []
    if texts:
        tests.append(f"{value.text} IN ({', '.join(map(repr, texts))})")  # null, true, false and digits only
    if floats:
        tests.append(f"({value.integer} IS NULL AND {value.float} IN ({', '.join(floats)}))")
    if strings:
        tests.append(f"{value.jsonb} IN ({', '.join(strings)})")
    return " OR ".join(tests) or "false"


def _jsonb_string(text: str) -> str:
    data = text.encode()
    return _binary(f"{_JSONB_SCALAR}{_JSONB_STRING | len(data):08x}{data.hex()}")


def _string_order(value: _Value, operator: str, operand: str) -> str:
    """Compare code points: UTF-8 keeps their order, and so do its hexadecimal digits behind the 16 of the header."""
    is_string = f"starts_with({value.hex}, '{_JSONB_SCALAR}1')"
    return f"{is_string} AND right({value.hex}, -16) {_COMPARE[operator]} '{operand.encode().hex()}'"


def _number_order(value: _Value, operator: str, operand: float) -> str:
    """Compare integers with an integer bound and floats with a float bound, each exactly equivalent to the operand."""
    integers = _integer_bound(operator, operand)
    floats = _float_bound(operator, operand)
    tests = [f"{value.integer} {bound}" for bound in (integers,) if bound]
    tests += [f"({value.integer} IS NULL AND {value.float} {bound})" for bound in (floats,) if bound]
    return " OR ".join(tests) or "false"


def _integer_bound(operator: str, operand: float) -> str | None:
    """Return the comparison of 64-bit integers that equals one with `operand`; None where none can hold."""
    if operator in ("$gt", "$gte"):
        least = math.floor(operand) + 1 if operator == "$gt" else math.ceil(operand)
        return f">= {_bigint(max(least, _INT64_MIN))}" if least <= _INT64_MAX else None
    most = math.ceil(operand) - 1 if operator == "$lt" else math.floor(operand)
    return f"<= {_bigint(min(most, _INT64_MAX))}" if most >= _INT64_MIN else None


def _bigint(number: int) -> str:
    """Return a 64-bit integer: written bare, the least one would be a float, the negative of what int64 cannot hold."""
    return f"CAST('{number}' AS BIGINT)"


def _float_bound(operator: str, operand: float) -> str:
    """Return the comparison of floats that equals one with `operand`, which may be an integer between two floats."""
    bound = float(operand)
    symbol = _COMPARE[operator]
    if bound > operand:
        symbol = ">=" if operator in ("$gt", "$gte") else "<"
    elif bound < operand:
        symbol = ">" if operator in ("$gt", "$gte") else "<="
    if bound == 0:  # LanceDB orders -0.0 before 0.0
        return f"{symbol} {'-0.0' if symbol in ('>=', '<') else '0.0'}"
    return f"{symbol} {bound!r}"
