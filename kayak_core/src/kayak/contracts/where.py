"""The `where` filter language: from a user's dict to the tree that stores translate.

A filter such as `{"topic": "wings", "year": {"$gte": 1960}}` maps metadata keys to values or to conditions.
Several keys, and several operators on one key, must all hold. `$and` and `$or` combine lists of filters and
`$not` negates one; `{"year": {"$not": {"$gt": 1960}}}` negates a condition in place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from kayak.contracts.json_values import BINARY_TYPES, normalize_json_value, short_repr
from kayak.contracts.where_comparison import (
    COMPARISON_OPERATORS,
    Comparison,
    Where,
    check_operand,
    check_where_depth,
)
from kayak.contracts.where_tree import LOGICAL_OPERATORS, NEGATED_OPERATORS, And, Not, Or
from kayak.errors import FilterError

__all__ = ["And", "Comparison", "Not", "Or", "Where", "parse_where"]

_CONDITION_OPERATORS = (*COMPARISON_OPERATORS, *NEGATED_OPERATORS, "$not")
_EXAMPLE = '{"topic": "wings", "year": {"$gte": 1960}}'


def parse_where(where: Mapping[str, Any] | Where | None) -> Where | None:
    """Parse a filter in dict form into an immutable tree.

    Args:
        where: The filter. None means no filter; a tree that was parsed before is returned as it is.

    Returns:
        The tree, or None where `where` is None. `{}` parses into an `And` without clauses, which matches
        every document.

    Raises:
        FilterError: The filter is malformed. The message names the place, and says what to write instead.
    """
    if where is None or isinstance(where, Where):
        return where
    return _parse_filter(where, "where", 1)


def _parse_filter(where: object, place: str, depth: int) -> Where:
    if not isinstance(where, Mapping):
        raise FilterError(
            f"{place} is {short_repr(where)} of type {type(where).__name__}, but must be a mapping such as {_EXAMPLE}."
        )
    check_where_depth(depth)
    clauses = []
    for raw_key, condition in where.items():
        if not isinstance(raw_key, str):
            raise FilterError(
                f"{place} has the key {short_repr(raw_key)} of type {type(raw_key).__name__}. Keys must be strings."
            )
        key = normalize_json_value(raw_key, subject=f"a key of {place}")
        inner = f"{place}[{short_repr(key)}]"
        if key.startswith("$"):
            clauses.append(_parse_logical(key, condition, inner, depth))
        else:
            clauses.append(_parse_condition(key, condition, inner, depth))
    return clauses[0] if len(clauses) == 1 else And(tuple(clauses))


def _parse_logical(name: str, operand: object, place: str, depth: int) -> Where:
    if name == "$not":
        return Not(_parse_filter(operand, place, depth + 1))
    if name not in LOGICAL_OPERATORS:
        if name in _CONDITION_OPERATORS:
            advice = f'Write it under a key, as in {{"year": {{"{name}": ...}}}}.'
        else:
            advice = f"{_near_miss(name, LOGICAL_OPERATORS)}Metadata keys cannot start with '$'."
        raise FilterError(
            f"{place}: {short_repr(name)} is not one of the operators that combine filters, "
            f"{', '.join(LOGICAL_OPERATORS)}. {advice}"
        )
    if not _is_list(operand):
        raise FilterError(
            f"{place} is {short_repr(operand)} of type {type(operand).__name__}, but must be a list of "
            f'filters, such as {{"{name}": [{{"topic": "wings"}}, {{"year": 1960}}]}}.'
        )
    clauses = tuple(_parse_filter(clause, f"{place}[{position}]", depth + 1) for position, clause in enumerate(operand))
    return And(clauses) if name == "$and" else Or(clauses)


def _parse_condition(key: str, condition: object, place: str, depth: int) -> Where:
    if _is_list(condition):
        raise FilterError(
            f'{place} is a list. Write {{"$in": [...]}} to match any of its values, or {{"$eq": [...]}} to '
            "match the list as a whole."
        )
    if not isinstance(condition, Mapping):
        return Comparison(key, "$eq", check_operand("$eq", condition, subject=place))
    check_where_depth(depth)
    _check_operators_only(condition, place)
    clauses = [_parse_operator(key, name, operand, place, depth) for name, operand in condition.items()]
    return clauses[0] if len(clauses) == 1 else And(tuple(clauses))


def _check_operators_only(condition: Mapping[Any, Any], place: str) -> None:
    """Refuse an object where a condition such as `{"$gt": 3}` is expected."""
    plain = [name for name in condition if not (isinstance(name, str) and name.startswith("$"))]
    if not condition:
        raise FilterError(
            f'{place} is an empty object. Write {{"$eq": {{}}}} to match an empty object, or '
            '{"$exists": True} to match documents that have the key.'
        )
    if len(plain) == len(condition):
        dollar = next((f"${name}" for name in plain if f"${name}" in _CONDITION_OPERATORS), None)
        raise FilterError(
            f"{place} is {short_repr(condition)}, an object without operators. "
            + (f"Did you mean {dollar!r}? " if dollar else "")
            + 'To match a whole object, write {"$eq": {...}}.'
        )
    if plain:
        raise FilterError(
            f"{place} mixes operators with the plain key {short_repr(plain[0])}. Keys cannot be nested: "
            'filter on top-level keys, or match a whole object with {"$eq": {...}}.'
        )


def _parse_operator(key: str, name: str, operand: object, outer: str, depth: int) -> Where:
    place = f"{outer}[{short_repr(name)}]"
    if name in COMPARISON_OPERATORS:
        return Comparison(key, name, check_operand(name, operand, subject=place))
    if name in NEGATED_OPERATORS:
        positive = NEGATED_OPERATORS[name]
        return Not(Comparison(key, positive, check_operand(positive, operand, subject=place)), name)
    if name == "$not":
        if not isinstance(operand, Mapping):
            raise FilterError(
                f'{place} is {short_repr(operand)}, but must be a condition such as {{"$gt": 3}}. To exclude '
                'one value, write {"$ne": value}; to exclude several, {"$nin": [...]}.'
            )
        return Not(_parse_condition(key, operand, place, depth + 1))
    if name in LOGICAL_OPERATORS:
        raise FilterError(
            f'{place}: {name} combines whole filters. Write {{"{name}": [{{{short_repr(key)}: ...}}, ...]}} '
            "beside the keys, not under one."
        )
    raise FilterError(
        f"{place}: {short_repr(name)} is not a known operator. {_near_miss(name, _CONDITION_OPERATORS)}"
        f"Known under a key: {', '.join(_CONDITION_OPERATORS)}."
    )


def _near_miss(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return f"Did you mean {close[0]!r}? " if close else ""


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, *BINARY_TYPES))
