"""`where` filters as Qdrant filters, with the meaning of `kayak.Where.matches`.

Qdrant's own matching depends on the type of a value: a boolean, an integer and a float that are equal do not match one
another, floats and null cannot be matched at all, and a list matches by its elements. So metadata are indexed twice:

- `terms`, keywords: for each key a term that stands for the key, and one that stands for the key and its value. Values
  that are equal by Kayak's rules have equal terms, so equality of any two values is equality of strings.
- `numbers`, one float field a key, for ranges.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import kayak
from qdrant_client import models

_PLAIN_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LONGEST_TERM = 256
_EXACT_FLOAT = 2**53  # up to here every integer is a float, so ranges over floats are exact
_RANGES = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_NEVER_A_TERM = "[]"

OPERATORS = ("$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$exists", "$and", "$or", "$not")
"""Filter operators that Qdrant evaluates, apart from ranges of strings and of numbers from 2**53 on."""


def index_fields(metadata: Mapping[str, Any]) -> tuple[list[str], dict[str, float]]:
    """Return the terms and the numbers by which a metadata row is found."""
    terms = [term for key, value in metadata.items() for term in (_term(key), _term(key, value))]
    numbers = {_name(key): float(value) for key, value in metadata.items() if type(value) in {int, float}}
    return terms, numbers


def split_filter(where: kayak.Where) -> tuple[kayak.Where | None, kayak.Where | None]:
    """Divide a filter into what Qdrant evaluates and what the client has to; both must match."""
    return where.divide(_is_expressible)


def compile_filter(where: kayak.Where) -> models.Filter:
    """Translate a filter that `split_filter` said Qdrant can evaluate."""
    if isinstance(where, kayak.Not):
        return models.Filter(must_not=[compile_filter(where.clause)])
    if isinstance(where, kayak.And):
        # An empty list of conditions is no condition, whichever list it is.
        return models.Filter(must=[*map(compile_filter, where.clauses)]) if where.clauses else _everything()
    if isinstance(where, kayak.Or):
        return models.Filter(should=[*map(compile_filter, where.clauses)]) if where.clauses else _nothing()
    if not isinstance(where, kayak.Comparison):
        raise kayak.InvalidTypeError(f"cannot translate a filter of type {type(where).__name__}")
    return _comparison(where)


def _comparison(where: kayak.Comparison) -> models.Filter:
    key, operand = where.key, where.value
    if where.operator in _RANGES:
        bounds = models.Range(**{_RANGES[where.operator]: float(operand)})
        return models.Filter(must=[models.FieldCondition(key=number_field(_name(key)), range=bounds)])
    if where.operator == "$exists":
        present = _has_term(_term(key))
        return present if operand else models.Filter(must_not=[present])
    if where.operator == "$eq":
        return _has_term(_term(key, operand))
    terms = sorted({_term(key, value) for value in operand})
    if not terms:
        return _nothing()
    return models.Filter(must=[models.FieldCondition(key="terms", match=models.MatchAny(any=terms))])


def _has_term(term: str) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="terms", match=models.MatchValue(value=term))])


def _nothing() -> models.Filter:
    return _has_term(_NEVER_A_TERM)


def _everything() -> models.Filter:
    return models.Filter(must_not=[_nothing()])


def _is_expressible(where: kayak.Where) -> bool:
    if isinstance(where, kayak.Comparison):
        if where.operator not in _RANGES:
            return where.operator in OPERATORS
        return not isinstance(where.value, str) and abs(where.value) < _EXACT_FLOAT
    if isinstance(where, kayak.Not):
        return _is_expressible(where.clause)
    return isinstance(where, (kayak.And, kayak.Or)) and all(map(_is_expressible, where.clauses))


def _term(*parts: Any) -> str:
    """Return the keyword for a key, or for a key and a value."""
    term = json.dumps([_canonical(part) for part in parts], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return term if len(term) <= _LONGEST_TERM else f"sha256:{hashlib.sha256(term.encode()).hexdigest()}"


def _canonical(value: Any) -> Any:
    """Return a value whose JSON is the same for equal values: 1.0 is 1, -0.0 is 0, wherever they stand."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return value


def number_field(name: str) -> str:
    """Return the JSON path of a number that `index_fields` named."""
    return f"numbers.{name}"


def _name(key: str) -> str:
    """Return a field name that Qdrant's JSON paths take without quotes, different for different keys."""
    return key if _PLAIN_FIELD.fullmatch(key) else f"-{hashlib.sha256(key.encode()).hexdigest()}"
