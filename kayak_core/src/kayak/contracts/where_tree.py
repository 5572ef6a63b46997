"""The syntax tree of `where` filters: `And`, `Or` and `Not` over comparisons.

A store that runs filters in its database translates this tree, and must agree with `Where.matches`. Logic is
two-valued: `Not` is the exact complement, so a document that lacks a key matches `$ne`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import attrs

from kayak.contracts.json_values import short_repr
from kayak.contracts.where_comparison import Comparison, Where, check_where_depth
from kayak.errors import FilterError, InvalidTypeError

__all__ = ["LOGICAL_OPERATORS", "NEGATED_OPERATORS", "And", "Not", "Or"]

NEGATED_OPERATORS = {"$ne": "$eq", "$nin": "$in"}
"""Operators that parse into the `Not` of another one."""

LOGICAL_OPERATORS = ("$and", "$or", "$not")
"""The operators that combine filters."""


def _where_clause(clause: object) -> Where:
    if not isinstance(clause, Where):
        raise InvalidTypeError(
            f"A clause must be a parsed filter, not {type(clause).__name__}. Parse filters in dict form with "
            "`parse_where`."
        )
    return clause


def _where_clauses(clauses: Iterable[Where]) -> tuple[Where, ...]:
    return tuple(map(_where_clause, clauses))


def _combined_depth(node: And | Or | Not) -> int:
    clauses = (node.clause,) if isinstance(node, Not) else node.clauses
    depth = 1 + max((clause.depth() for clause in clauses), default=0)
    check_where_depth(depth)
    return depth


_DEPTH = attrs.Factory(_combined_depth, takes_self=True)


@attrs.frozen(repr=False)
class _Combination(Where):
    clauses: tuple[Where, ...] = attrs.field(converter=_where_clauses)
    _depth: int = attrs.field(init=False, eq=False, default=_DEPTH)
    _operator: ClassVar[str]

    def operators(self) -> frozenset[str]:
        """Return this node's operator and those of the clauses."""
        return frozenset({self._operator}).union(*(clause.operators() for clause in self.clauses))

    def keys(self) -> frozenset[str]:
        """Return the keys of all clauses."""
        return frozenset[str]().union(*(clause.keys() for clause in self.clauses))

    def to_dict(self) -> dict[str, Any]:
        """Return `{operator: [clauses]}`."""
        return {self._operator: [clause.to_dict() for clause in self.clauses]}

    def depth(self) -> int:
        """Return the levels of the tree."""
        return self._depth


@attrs.frozen(repr=False)
class And(_Combination):
    """All clauses match; without clauses, every document does."""

    _operator: ClassVar[str] = "$and"

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether every clause matches."""
        for clause in self.clauses:  # noqa: SIM110 (`all` with a generator takes twice as long)
            if not clause.matches(metadata):
                return False
        return True

    def divide(self, evaluable: Callable[[Where], bool]) -> tuple[Where | None, Where | None]:
        """Divide clause by clause, so that one clause does not hold back the others."""
        if evaluable(self):
            return self, None
        pushed: list[Where] = []
        rest: list[Where] = []
        for clause in self.clauses:
            ours, theirs = clause.divide(evaluable)
            if ours is not None and evaluable(ours if not pushed else And((*pushed, ours))):
                pushed.append(ours)
                ours = None
            rest.extend(part for part in (ours, theirs) if part is not None)
        return _conjunction(pushed), _conjunction(rest)


def _conjunction(clauses: list[Where]) -> Where | None:
    if len(clauses) > 1:
        return And(tuple(clauses))
    return clauses[0] if clauses else None


@attrs.frozen(repr=False)
class Or(_Combination):
    """Any clause matches; without clauses, no document does."""

    _operator: ClassVar[str] = "$or"

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether a clause matches."""
        for clause in self.clauses:  # noqa: SIM110 (`any` with a generator takes twice as long)
            if clause.matches(metadata):
                return True
        return False


@attrs.frozen(repr=False)
class Not(Where):
    """The exact complement of a clause.

    Attributes:
        clause: The filter that must not match.
        operator: How it was written: `$not`; `$ne` around an `$eq` comparison; `$nin` around an `$in`
            comparison.
    """

    clause: Where = attrs.field(converter=_where_clause)
    operator: str = attrs.field(default="$not")
    _depth: int = attrs.field(init=False, eq=False, default=_DEPTH)

    @operator.validator
    def _check_operator(self, attribute: attrs.Attribute[str], value: str) -> None:
        inner = self.clause.operator if isinstance(self.clause, Comparison) else None
        if value != "$not" and (inner is None or NEGATED_OPERATORS.get(value) != inner):
            raise FilterError(
                f"{attribute.name} is {short_repr(value)}, but must be '$not', or '$ne' around an `$eq` "
                "comparison, or '$nin' around an `$in` comparison."
            )

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether the clause does not match."""
        return not self.clause.matches(metadata)

    def operators(self) -> frozenset[str]:
        """Return `$ne` or `$nin`, or `$not` and the operators of the clause."""
        own = frozenset({self.operator})
        return own | self.clause.operators() if self.operator == "$not" else own

    def keys(self) -> frozenset[str]:
        """Return the keys of the clause."""
        return self.clause.keys()

    def to_dict(self) -> dict[str, Any]:
        """Return the complement as it was written."""
        if isinstance(self.clause, Comparison) and self.operator != "$not":
            return {self.clause.key: {self.operator: self.clause.value}}
        return {"$not": self.clause.to_dict()}

    def depth(self) -> int:
        """Return the levels of the tree."""
        return self._depth
