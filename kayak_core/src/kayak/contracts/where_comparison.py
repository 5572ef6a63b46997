"""The base of parsed `where` filters, and comparisons: one key, one operator, one operand."""

from __future__ import annotations

import abc
import copy
import operator as op
from collections.abc import Callable, Hashable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeAlias

import attrs

from kayak.contracts.json_values import json_identity, normalize_json_value, short_repr
from kayak.errors import FilterError, InvalidTypeError

__all__ = [
    "COMPARISON_OPERATORS",
    "MAX_WHERE_DEPTH",
    "Comparison",
    "Where",
    "check_operand",
    "check_where_depth",
]

COMPARISON_OPERATORS = ("$eq", "$in", "$gt", "$gte", "$lt", "$lte", "$exists")
"""The operators a `Comparison` may have."""

MAX_WHERE_DEPTH = 32
"""Levels that a filter's tree may have."""

_Relation: TypeAlias = Callable[[Any, Any], bool]
_MISSING: Any = type("Missing", (), {})()
_NUMBERS = frozenset[type]({int, float})
_PLAIN = frozenset[type]({int, float, str, bool, type(None), list, dict})
_ORDERED = frozenset[type]({int, float, str})
_ORDERINGS = {"$gt": op.gt, "$gte": op.ge, "$lt": op.lt, "$lte": op.le}


class Where(abc.ABC):
    """A parsed `where` filter: immutable, hashable, equal to filters of the same structure and values.

    Operands are equal where they match the same documents: 1 equals 1.0, but not True.
    """

    __slots__ = ()

    @abc.abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether a document with this metadata row matches. Pass `{}` for a document without."""

    @abc.abstractmethod
    def operators(self) -> frozenset[str]:
        """Return the operators that a store needs to run the filter.

        They are named as the user wrote them (`$ne`, not the `$eq` inside). A bare value counts as `$eq`;
        several conditions side by side count as `$and`.
        """

    @abc.abstractmethod
    def keys(self) -> frozenset[str]:
        """Return the metadata keys that the filter looks at."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the filter in dict form; `parse_where` turns it back into an equal tree."""

    @abc.abstractmethod
    def depth(self) -> int:
        """Return the levels of the tree; a comparison has one."""

    def split(self, supported: AbstractSet[str]) -> tuple[Where | None, Where | None]:
        """Divide the filter between a database and the client.

        Args:
            supported: The operators that the database can run.

        Returns:
            The part that needs only supported operators, and the rest. A document matches the filter exactly
            when it matches both; None matches every document.
        """
        return self.divide(lambda part: part.operators() <= supported)

    def divide(self, evaluable: Callable[[Where], bool]) -> tuple[Where | None, Where | None]:
        """Divide the filter between a database and the client, where more than the operators decides.

        Args:
            evaluable: Says of a filter whether the database can evaluate all of it, exactly.

        Returns:
            As `split`.
        """
        return (self, None) if evaluable(self) else (None, self)

    def __repr__(self) -> str:
        return f"parse_where({self.to_dict()!r})"


def check_where_depth(depth: int) -> None:
    """Refuse a filter whose tree would have too many levels to be walked safely.

    Raises:
        FilterError: `depth` exceeds `MAX_WHERE_DEPTH`.
    """
    if depth > MAX_WHERE_DEPTH:
        raise FilterError(
            f"The `where` filter nests deeper than {MAX_WHERE_DEPTH} levels. Flatten it: nested lists of the "
            "same operator can be merged, and a double `$not` can be dropped."
        )


def check_operand(operator: str, operand: object, *, subject: str) -> Any:
    """Return a comparison's operand as a plain JSON value.

    Args:
        operator: One of `COMPARISON_OPERATORS`.
        operand: The value that the user gave.
        subject: What error messages call the operand, for example `where['year']['$gte']`.

    Raises:
        FilterError: The operator is unknown, or cannot have this operand.
    """
    if operator not in COMPARISON_OPERATORS:
        raise FilterError(f"{short_repr(operator)} is not one of {', '.join(COMPARISON_OPERATORS)}.")
    value = normalize_json_value(operand, subject=subject)
    if operator == "$in" and not isinstance(value, list):
        raise FilterError(f"{subject} is {short_repr(value)}, but must be a list of values, such as [1, 2].")
    if operator == "$exists" and not isinstance(value, bool):
        raise FilterError(f"{subject} is {short_repr(value)}, but must be True (key present) or False (key missing).")
    if operator in _ORDERINGS and type(value) not in _ORDERED:
        raise FilterError(
            f"{subject} is {short_repr(value)}, but only numbers and strings have an order. Use `$eq` or "
            "`$in` for booleans, null, lists and objects."
        )
    return value


def _relates(kinds: frozenset[type], relation: _Relation, operand: Any, value: Any) -> bool:
    return type(value) in kinds and relation(value, operand)


def _identity_relates(relation: _Relation, operand: Any, value: Any) -> bool:
    return relation(operand, json_identity(value))


@attrs.frozen(repr=False, init=False)
class Comparison(Where):
    """One key compared with one operand.

    Attributes:
        key: A top-level metadata key, taken literally: dots mean nothing.
        operator: One of `COMPARISON_OPERATORS`.
        value: The operand in plain JSON types, a fresh copy where it is a list or an object. A list for
            `$in`, a boolean for `$exists`, a number or a string for the orderings.
    """

    key: str
    operator: str
    _identity: Hashable
    _operand: Any = attrs.field(eq=False)
    _test: Callable[[Any], bool] | None = attrs.field(eq=False)

    def __init__(self, key: str, operator: str, value: object) -> None:
        if not isinstance(key, str):
            raise InvalidTypeError(f"A filter key must be a string, not {type(key).__name__}.")
        key = normalize_json_value(key, subject="the filter key")
        if key.startswith("$"):
            raise FilterError(f"The filter key {short_repr(key)} starts with '$'; metadata keys cannot.")
        operand = check_operand(operator, value, subject=f"where[{short_repr(key)}][{operator!r}]")
        identity = frozenset(map(json_identity, operand)) if operator == "$in" else json_identity(operand)
        test: Callable[[Any], bool] | None = None
        if operator == "$in":
            test = partial(_identity_relates, op.contains, identity)
        elif operator == "$eq" and isinstance(operand, (list, dict)):
            test = partial(_identity_relates, op.eq, identity)
        elif operator != "$exists":
            kinds = _NUMBERS if type(operand) in _NUMBERS else frozenset[type]({type(operand)})
            test = partial(_relates, kinds, _ORDERINGS.get(operator, op.eq), operand)
        self.__attrs_init__(key, operator, identity, operand, test)

    @property
    def value(self) -> Any:
        """The operand; changing a returned list or object does not change the filter."""
        return copy.deepcopy(self._operand)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether the row's value stands in this relation to the operand."""
        value = metadata.get(self.key, _MISSING)
        if self._test is None:
            return (value is not _MISSING) is self._operand
        if value is _MISSING:
            return False
        if type(value) not in _PLAIN:  # a row that did not pass through `normalize_metadata_rows`
            value = normalize_json_value(value, subject=f"metadata[{short_repr(self.key)}]")
        return self._test(value)

    def operators(self) -> frozenset[str]:
        """Return the one operator."""
        return frozenset({self.operator})

    def keys(self) -> frozenset[str]:
        """Return the one key."""
        return frozenset({self.key})

    def to_dict(self) -> dict[str, Any]:
        """Return `{key: {operator: value}}`."""
        return {self.key: {self.operator: self.value}}

    def depth(self) -> int:
        """Return 1."""
        return 1
