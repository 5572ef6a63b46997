"""The `where` language: its meaning against an independent oracle, its laws, its errors."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kayak.contracts.where import And, Comparison, Not, Or, Where, parse_where
from kayak.contracts.where_comparison import MAX_WHERE_DEPTH
from kayak.errors import FilterError, InvalidTypeError
from kayak.testing.strategies import metadata_rows, metadata_values, where_filters

BIG = 2**53


def equal(left: Any, right: Any) -> bool:
    """The oracle's JSON equality: by type first, numbers as exact decimals."""
    kinds = [
        "number" if isinstance(v, (int, float)) and not isinstance(v, bool) else type(v).__name__ for v in (left, right)
    ]
    if kinds[0] != kinds[1]:
        return False
    if kinds[0] == "number":
        return Decimal(left) == Decimal(right)
    if kinds[0] == "list":
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if kinds[0] == "dict":
        return sorted(left) == sorted(right) and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def ordered(left: Any, right: Any) -> int | None:
    """The oracle's order: -1, 0 or 1; None where the two have no order."""
    if isinstance(left, str) and isinstance(right, str):
        a: Any = left.encode("utf-8")
        b: Any = right.encode("utf-8")
    elif any(isinstance(v, (bool, str, list, dict, type(None))) for v in (left, right)):
        return None
    else:
        a, b = Decimal(left), Decimal(right)
    return int(a > b) - int(a < b)


def oracle_condition(row: dict[str, Any], key: str, name: str, operand: Any) -> bool:
    there = key in row
    sign = ordered(row[key], operand) if there else None
    match name:
        case "$eq":
            return there and equal(row[key], operand)
        case "$ne":
            return not (there and equal(row[key], operand))
        case "$in":
            return there and any(equal(row[key], one) for one in operand)
        case "$nin":
            return not (there and any(equal(row[key], one) for one in operand))
        case "$gt":
            return sign == 1
        case "$gte":
            return sign in (0, 1)
        case "$lt":
            return sign == -1
        case "$lte":
            return sign in (0, -1)
        case "$exists":
            return there is operand
        case "$not":
            return not all(oracle_condition(row, key, inner, value) for inner, value in operand.items())
    raise AssertionError(name)


def oracle(row: dict[str, Any], where: dict[str, Any]) -> bool:
    """What a filter in dict form means, written a second time and without a tree."""
    for key, condition in where.items():
        if key == "$and":
            holds = all(oracle(row, inner) for inner in condition)
        elif key == "$or":
            holds = any(oracle(row, inner) for inner in condition)
        elif key == "$not":
            holds = not oracle(row, condition)
        elif isinstance(condition, dict):
            holds = all(oracle_condition(row, key, name, value) for name, value in condition.items())
        else:
            holds = oracle_condition(row, key, "$eq", condition)
        if not holds:
            return False
    return True


def parse(where: Any) -> Where:
    tree = parse_where(where)
    assert tree is not None
    return tree


def operators_in(where: dict[str, Any]) -> set[str]:
    """Every operator written in a filter, with the implied `$eq` and `$and`."""
    found = set() if len(where) == 1 else {"$and"}
    for key, condition in where.items():
        if key in ("$and", "$or"):
            found |= {key}.union(*map(operators_in, condition))
        elif key == "$not":
            found |= {key} | operators_in(condition)
        elif isinstance(condition, dict):
            found |= condition_operators(condition)
        else:
            found.add("$eq")
    return found


def condition_operators(condition: dict[str, Any]) -> set[str]:
    found = set(condition) if len(condition) == 1 else {"$and", *condition}
    return found | (condition_operators(condition["$not"]) if "$not" in condition else set())


@given(where_filters(), metadata_rows())
@example({"year": 1}, {"year": True})
@example({"year": {"$lte": 2.0**53}}, {"year": BIG + 1})
@example({"topic": {"$gt": "\uffff"}}, {"topic": "\U0001f600"})
def test_a_filter_means_what_the_oracle_says(where: dict[str, Any], row: dict[str, Any]) -> None:
    assert parse(where).matches(row) is oracle(row, where)


@given(where_filters(), metadata_rows())
def test_negation_is_the_exact_complement(where: dict[str, Any], row: dict[str, Any]) -> None:
    assert parse({"$not": where}).matches(row) is not parse(where).matches(row)


@given(st.lists(where_filters(), max_size=3), metadata_rows())
def test_de_morgan(filters: list[dict[str, Any]], row: dict[str, Any]) -> None:
    negated = [{"$not": where} for where in filters]
    assert parse({"$not": {"$and": filters}}).matches(row) is parse({"$or": negated}).matches(row)
    assert parse({"$not": {"$or": filters}}).matches(row) is parse({"$and": negated}).matches(row)


@given(where_filters())
def test_dict_form_pickle_and_repr_round_trip(where: dict[str, Any]) -> None:
    tree = parse(where)
    again = parse(json.loads(json.dumps(tree.to_dict())))
    assert again == tree
    assert hash(again) == hash(tree)
    assert again.to_dict() == tree.to_dict()
    assert again.operators() == tree.operators()
    assert pickle.loads(pickle.dumps(tree)) == tree
    assert repr(tree) == f"parse_where({tree.to_dict()!r})"
    assert parse_where(tree) is tree


@given(where_filters())
def test_operators_and_keys_are_those_written(where: dict[str, Any]) -> None:
    tree = parse(where)
    assert tree.operators() == operators_in(where)
    assert all(parse({key: None}).keys() == {key} for key in sorted(tree.keys()))


@given(where_filters(), where_filters(), metadata_rows())
def test_equal_filters_hash_alike_and_match_alike(a: dict[str, Any], b: dict[str, Any], row: dict[str, Any]) -> None:
    left, right = parse(a), parse(b)
    assert (left == right) is (right == left)
    if left == right:
        assert hash(left) == hash(right)
        assert left.matches(row) is right.matches(row)


@given(metadata_values(), metadata_values(), st.sampled_from(["$eq", "$ne"]))
def test_operands_are_equal_exactly_where_json_says_so(a: Any, b: Any, name: str) -> None:
    same = parse({"k": {name: a}}) == parse({"k": {name: b}})
    assert same is equal(a, b)
    assert (parse({"k": {"$in": [a]}}) == parse({"k": {"$in": [b, a, b]}})) is equal(a, b)
    assert len({parse({"k": {name: a}}), parse({"k": {name: b}})}) == 2 - same


@given(
    where_filters(),
    st.sets(st.sampled_from(["$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$exists", "$and", "$or", "$not"])),
    metadata_rows(),
)
def test_split_divides_a_filter_without_changing_it(
    where: dict[str, Any], supported: set[str], row: dict[str, Any]
) -> None:
    tree = parse(where)
    pushed, rest = tree.split(supported)
    assert pushed is None or pushed.operators() <= supported
    parts = [part for part in (pushed, rest) if part is not None]
    assert all(part.matches(row) for part in parts) is tree.matches(row)


def test_split_pushes_every_supported_clause_of_a_conjunction() -> None:
    tree = parse({"a": 1, "b": {"$gt": 2, "$lt": 5}, "$or": [{"c": 1}, {"d": {"$ne": 2}}]})
    pushed, rest = tree.split({"$eq", "$gt", "$and", "$or"})
    assert pushed == parse({"$and": [{"a": 1}, {"b": {"$gt": 2}}]})
    assert rest == parse({"$and": [{"b": {"$lt": 5}}, {"$or": [{"c": 1}, {"d": {"$ne": 2}}]}]})
    assert tree.split({"$eq"}) == (
        parse({"a": 1}),
        parse({"$and": [{"b": {"$gt": 2, "$lt": 5}}, *tree.to_dict()["$and"][2:]]}),
    )
    assert tree.split(tree.operators()) == (tree, None)
    assert tree.split(set()) == (None, tree)
    assert parse({}).split(set()) == (None, None)


@pytest.mark.parametrize(
    ("where", "row", "expected"),
    [
        ({}, {}, True),
        ({"k": None}, {}, False),
        ({"k": None}, {"k": None}, True),
        ({"k": {"$ne": 1}}, {}, True),
        ({"k": {"$nin": []}}, {}, True),
        ({"k": {"$in": []}}, {"k": None}, False),
        ({"k": True}, {"k": 1}, False),
        ({"k": 1}, {"k": 1.0}, True),
        ({"k": 0.0}, {"k": -0.0}, True),
        ({"k": float(BIG)}, {"k": BIG + 1}, False),
        ({"k": {"$in": [float(BIG)]}}, {"k": BIG + 1}, False),
        ({"k": {"$eq": [1, 2]}}, {"k": [1.0, 2]}, True),
        ({"k": 1}, {"k": [1]}, False),
        ({"k": {"$eq": {"a": [True]}}}, {"k": {"a": [1]}}, False),
        ({"k": {"$eq": ["boolean", True]}}, {"k": True}, False),
        ({"k": {"$in": [{"b": 1, "a": 2}]}}, {"k": {"a": 2, "b": 1.0}}, True),
        ({"k": {"$gt": 0}}, {"k": True}, False),
        ({"k": {"$gt": 0}}, {"k": "1"}, False),
        ({"k": {"$lt": "b"}}, {"k": 1}, False),
        ({"k": {"$not": {"$gt": 0}}}, {"k": "1"}, True),
        ({"k": {"$exists": True}}, {"k": None}, True),
        ({"k": {"$exists": False}}, {"k": None}, False),
        ({"k": {"$exists": np.False_}}, {}, True),
        ({"$and": []}, {}, True),
        ({"$or": []}, {}, False),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
        ({"a.b": 1}, {"a.b": 1}, True),
        ({"k": np.float32(0.5)}, {"k": 0.5}, True),
    ],
)
def test_meaning(where: dict[str, Any], row: dict[str, Any], expected: bool) -> None:
    assert parse(where).matches(row) is expected
    assert parse({"$not": where}).matches(row) is not expected


def test_none_is_no_filter() -> None:
    assert parse_where(None) is None


def test_rows_that_were_not_normalized_follow_the_same_rules() -> None:
    row = {"flag": np.True_, "n": np.int64(3), "t": (1, np.float64(2.0), np.bool_(True))}
    assert parse({"flag": True, "n": {"$gte": 3}, "t": {"$eq": [1, 2, True]}}).matches(row)
    assert not parse({"flag": 1}).matches(row)
    with pytest.raises(FilterError, match=r"^metadata\['when'\] has the type object, which JSON cannot hold\."):
        parse({"when": 1}).matches({"when": object()})


def test_trees_are_immutable_and_share_nothing_with_the_input() -> None:
    operand = {"a": [1]}
    tree = parse({"k": {"$eq": operand}})
    assert isinstance(tree, Comparison)
    operand["a"].append(2)
    tree.value["a"].append(3)
    tree.to_dict()["k"]["$eq"]["a"].append(4)
    assert tree.value == {"a": [1]}
    assert tree.matches({"k": {"a": [1]}})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        tree.key = "other"  # type: ignore[misc]


def test_parsed_nodes() -> None:
    year = Comparison("year", "$gte", 1960)
    assert parse({"year": {"$gte": 1960}}) == year
    assert parse({"topic": {"$ne": "wings"}}) == Not(Comparison("topic", "$eq", "wings"), "$ne")
    assert parse({"topic": {"$nin": (1, 2)}}) == Not(Comparison("topic", "$in", [1, 2]), "$nin")
    assert parse({"year": {"$not": {"$gte": 1960}}}) == Not(year) == parse({"$not": {"year": {"$gte": 1960}}})
    assert parse({"$or": [{"year": {"$gte": 1960}}, {}]}) == Or([year, And([])])
    assert Not(year) != year
    assert And([year]) != Or([year])
    assert parse({"k": {"$ne": 1}}) != parse({"$not": {"k": 1}})


def nested(levels: int) -> dict[str, Any]:
    where: dict[str, Any] = {"k": 1}
    for _ in range(levels):
        where = {"$not": where}
    return where


def test_depth_is_bounded() -> None:
    deepest = parse(nested(MAX_WHERE_DEPTH - 1))
    assert deepest.matches({"k": 1}) is (MAX_WHERE_DEPTH % 2 == 1)
    message = (
        "^The `where` filter nests deeper than 32 levels. Flatten it: nested lists of the same operator "
        "can be merged, "
        r"and a double `\$not` can be dropped.$"
    )
    cycle: dict[str, Any] = {}
    cycle["$and"] = [cycle, cycle]
    condition: dict[str, Any] = {}
    condition["$not"] = condition
    for where in (nested(MAX_WHERE_DEPTH), nested(100_000), cycle, {"k": condition}):
        with pytest.raises(FilterError, match=message):
            parse_where(where)
    with pytest.raises(FilterError, match=message):
        Not(deepest)


EXAMPLE = '{"topic": "wings", "year": {"$gte": 1960}}'
CONDITIONS = "$eq, $in, $gt, $gte, $lt, $lte, $exists, $ne, $nin, $not"
COMBINE = "is not one of the operators that combine filters, $and, $or, $not."


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ([1], f"where is [1] of type list, but must be a mapping such as {EXAMPLE}."),
        ("year", f"where is 'year' of type str, but must be a mapping such as {EXAMPLE}."),
        ({1: 2}, "where has the key 1 of type int. Keys must be strings."),
        (
            {"\ud800": 1},
            "a key of where is '\\ud800', which has a lone surrogate and cannot be written as UTF-8. "
            "Repair the text, "
            'for example with `text.encode("utf-8", "replace").decode()`.',
        ),
        (
            {"$annd": []},
            f"where['$annd']: '$annd' {COMBINE} Did you mean '$and'? Metadata keys cannot start with '$'.",
        ),
        ({"$price": 1}, f"where['$price']: '$price' {COMBINE} Metadata keys cannot start with '$'."),
        (
            {"$gt": 3},
            f"where['$gt']: '$gt' {COMBINE} Write it under a key, as in {{\"year\": {{\"$gt\": ...}}}}.",
        ),
        (
            {"$or": {"a": 1}},
            "where['$or'] is {'a': 1} of type dict, but must be a list of filters, such as "
            '{"$or": [{"topic": "wings"}, {"year": 1960}]}.',
        ),
        ({"$and": [{}, 3]}, f"where['$and'][1] is 3 of type int, but must be a mapping such as {EXAMPLE}."),
        ({"$not": 3}, f"where['$not'] is 3 of type int, but must be a mapping such as {EXAMPLE}."),
        (
            {"k": [1, 2]},
            'where[\'k\'] is a list. Write {"$in": [...]} to match any of its values, or {"$eq": [...]} '
            "to match the list as a whole.",
        ),
        (
            {"k": {}},
            "where['k'] is an empty object. Write {\"$eq\": {}} to match an empty object, "
            'or {"$exists": True} to match documents that have the key.',
        ),
        (
            {"k": {"a": 1}},
            "where['k'] is {'a': 1}, an object without operators. To match a whole object, write {\"$eq\": {...}}.",
        ),
        (
            {"k": {"gte": 1}},
            "where['k'] is {'gte': 1}, an object without operators. Did you mean '$gte'? To match a "
            "whole object, write "
            '{"$eq": {...}}.',
        ),
        (
            {"k": {"$gt": 1, "a": 1}},
            "where['k'] mixes operators with the plain key 'a'. Keys cannot be nested: filter on "
            "top-level keys, or "
            'match a whole object with {"$eq": {...}}.',
        ),
        (
            {"$or": [{"k": {"$exist": True}}]},
            f"where['$or'][0]['k']['$exist']: '$exist' is not a known operator. Did you mean '$exists'? "
            f"Known under a key: "
            f"{CONDITIONS}.",
        ),
        (
            {"k": {"$regex": "a"}},
            f"where['k']['$regex']: '$regex' is not a known operator. Known under a key: {CONDITIONS}.",
        ),
        (
            {"k": {"$or": [1]}},
            "where['k']['$or']: $or combines whole filters. Write {\"$or\": [{'k': ...}, ...]} beside "
            "the keys, not under "
            "one.",
        ),
        (
            {"k": {"$not": 3}},
            "where['k']['$not'] is 3, but must be a condition such as {\"$gt\": 3}. To exclude one "
            "value, write "
            '{"$ne": value}; to exclude several, {"$nin": [...]}.',
        ),
        ({"k": {"$in": "ab"}}, "where['k']['$in'] is 'ab', but must be a list of values, such as [1, 2]."),
        ({"k": {"$nin": 3}}, "where['k']['$nin'] is 3, but must be a list of values, such as [1, 2]."),
        (
            {"k": {"$in": {1}}},
            "where['k']['$in'] has the type set, which JSON cannot hold. Write sets as lists.",
        ),
        (
            {"k": {"$exists": 1}},
            "where['k']['$exists'] is 1, but must be True (key present) or False (key missing).",
        ),
        *(
            (
                {"k": {name: operand}},
                f"where['k']['{name}'] is {operand!r}, but only numbers and strings have an order. Use "
                f"`$eq` or `$in` for "
                "booleans, null, lists and objects.",
            )
            for name, operand in [("$gt", True), ("$gte", None), ("$lt", [1]), ("$lte", {"a": 1})]
        ),
        (
            {"k": {"$gt": float("nan")}},
            "where['k']['$gt'] is nan; numbers must be finite. Leave the key out, or write null.",
        ),
        (
            {"k": {"$eq": {"a": [0, 2**63]}}},
            "where['k']['$eq']['a'][1] is 9223372036854775808, outside signed 64-bit integers. Write it "
            "as a string, or "
            "as a float if rounding is acceptable.",
        ),
        (
            {"k": b"x"},
            "where['k'] has the type bytes, which JSON cannot hold. Decode bytes to a string.",
        ),
    ],
)
def test_errors(where: Any, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_where(where)
    assert str(caught.value) == message


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(FilterError) as caught:
        parse_where({"k": {"$in": "x" * 10_000}})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: Comparison("$k", "$eq", 1),
            FilterError,
            "The filter key '$k' starts with '$'; metadata keys cannot.",
        ),
        (lambda: Comparison(1, "$eq", 1), InvalidTypeError, "A filter key must be a string, not int."),  # type: ignore[arg-type]
        (
            lambda: Comparison("k", "$ne", 1),
            FilterError,
            "'$ne' is not one of $eq, $in, $gt, $gte, $lt, $lte, $exists.",
        ),
        (
            lambda: Comparison("k", "$gt", None),
            FilterError,
            "where['k']['$gt'] is None, but only numbers and strings have an order. Use `$eq` or `$in` "
            "for booleans, "
            "null, lists and objects.",
        ),
        (
            lambda: Or([{"k": 1}]),  # type: ignore[list-item]
            InvalidTypeError,
            "A clause must be a parsed filter, not dict. Parse filters in dict form with `parse_where`.",
        ),
        (
            lambda: Not("k"),  # type: ignore[arg-type]
            InvalidTypeError,
            "A clause must be a parsed filter, not str. Parse filters in dict form with `parse_where`.",
        ),
        *(
            (
                lambda clause=clause, name=name: Not(clause, name),
                FilterError,
                f"operator is '{name}', but must be '$not', or '$ne' around an `$eq` comparison, or "
                f"'$nin' around an "
                "`$in` comparison.",
            )
            for clause, name in [
                (Comparison("k", "$gt", 1), "$ne"),
                (Comparison("k", "$eq", 1), "$nin"),
                (And([]), "$ne"),
                (Comparison("k", "$eq", 1), "not"),
            ]
        ),
    ],
)
def test_nodes_refuse_what_the_language_does_not_have(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        build()
    assert str(caught.value) == message
