"""Filters as Weaviate gets them mean what Kayak's filters mean, for every row and every filter."""

from __future__ import annotations

from typing import Any

import kayak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak.testing.strategies import METADATA_KEYS, metadata_rows, metadata_values, where_filters
from kayak_weaviate.filters import PUSHDOWN, TERMS, both, has_term, translate
from kayak_weaviate.terms import HAS_METADATA, HAS_TEXT, document_terms, key_term, value_term
from weaviate.collections.filters import _FilterToGRPC
from weaviate.proto.v1 import base_pb2


def stored(metadata: dict[str, Any], text: str | None = None) -> kayak.StoredDocument:
    return kayak.StoredDocument("a", np.ones((1, 2), np.float32), text, metadata)


def holds(message: base_pb2.Filters, terms: frozenset[str]) -> bool:
    """Evaluate a filter message as Weaviate documents it, over one document's terms."""
    if message.operator == base_pb2.Filters.OPERATOR_AND:
        return all(holds(part, terms) for part in message.filters)
    if message.operator == base_pb2.Filters.OPERATOR_OR:
        return any(holds(part, terms) for part in message.filters)
    if message.operator == base_pb2.Filters.OPERATOR_NOT:
        (part,) = message.filters
        return not holds(part, terms)
    assert message.target.property == TERMS
    if message.operator == base_pb2.Filters.OPERATOR_EQUAL:
        return message.value_text in terms
    assert message.operator == base_pb2.Filters.OPERATOR_CONTAINS_ANY
    assert message.value_text_array.values, "Weaviate refuses an empty list"
    return not terms.isdisjoint(message.value_text_array.values)


def selected(where: kayak.Where | None, metadata: dict[str, Any]) -> bool:
    condition = translate(where)
    if isinstance(condition, str):
        return condition == "all"
    return holds(_FilterToGRPC.convert(condition), frozenset(document_terms(stored(metadata))))


@settings(max_examples=400, deadline=None)
@given(metadata_rows(), where_filters())
def test_the_pushed_part_and_the_rest_are_the_filter(metadata: dict[str, Any], where: dict[str, Any]) -> None:
    condition = kayak.parse_where(where)
    assert condition is not None
    pushed, rest = condition.split(frozenset(PUSHDOWN))
    assert (selected(pushed, metadata) and (rest is None or rest.matches(metadata))) == condition.matches(metadata)


@pytest.mark.parametrize(
    "where",
    [
        {"key": 1},
        {"key": None},
        {"key": {"$ne": 1}},
        {"key": {"$in": [1, "a", None]}},
        {"key": {"$nin": [1, "a"]}},
        {"key": {"$exists": True}},
        {"key": {"$exists": False}},
        {"key": {"$not": {"$exists": False}}},
        {"key": 1, "other": {"$exists": False}},
        {"$or": [{"key": 1}, {"other": 2}]},
        {"$not": {"$or": [{"key": 1}, {"other": 2}]}},
    ],
)
def test_each_operator_means_what_kayak_says(where: dict[str, Any]) -> None:
    condition = kayak.parse_where(where)
    assert condition is not None
    rows: list[dict[str, Any]] = [{}, {"other": 2}, {"key": 1, "other": 2}]
    for row in [*rows, *({"key": value} for value in (1, 1.0, True, "a", None, [1]))]:
        assert selected(condition, row) == condition.matches(row), row


@settings(max_examples=300, deadline=None)
@given(metadata_values(), metadata_values(), st.sampled_from(METADATA_KEYS))
def test_terms_are_equal_exactly_where_values_are(left: Any, right: Any, key: str) -> None:
    equal = kayak.Comparison(key, "$eq", left).matches({key: right})
    assert (value_term(key, left) == value_term(key, right)) == equal


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, -0.0, True),
        (1, "1", False),
        (None, "null", False),
        (2**53 + 1, 2.0**53, False),
        ([1, {"x": 2.0}], [1.0, {"x": 2}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([], {}, False),
        ("a", "a ", False),
        ("é", "e\u0301", False),
        (1e300, 1e300, True),
    ],
)
def test_confusable_values(left: Any, right: Any, same: bool) -> None:
    assert (value_term("key", left) == value_term("key", right)) is same


@given(st.text(st.characters(exclude_categories=["Cs"])), metadata_values())
def test_terms_survive_the_tokenisation_of_whole_fields(key: str, value: Any) -> None:
    for term in (key_term(key), value_term(key, value)):
        assert term.isascii()
        assert term.strip() == term != ""
        assert len(term) <= 240


def test_a_long_value_becomes_a_digest_of_its_own() -> None:
    terms = {value_term("key", "x" * length) for length in range(200, 300)}
    assert len(terms) == 100
    assert any(term.startswith("sha256:") for term in terms)


def test_terms_of_a_document() -> None:
    assert document_terms(stored({})) == ["document"]
    assert document_terms(stored({"year": 1960.0, "a.b": None}, "text")) == [
        *("document", HAS_TEXT, HAS_METADATA),
        *('["year"]', '["year",1960]', '["a.b"]', '["a.b",null]'),
    ]


def test_a_key_cannot_pass_for_a_mark() -> None:
    assert HAS_TEXT not in document_terms(stored({HAS_TEXT: HAS_TEXT}))


def test_what_needs_no_question_is_not_asked() -> None:
    assert translate(None) == "all"
    for where, answer in (
        ({}, "all"),
        ({"$or": []}, "none"),
        ({"key": {"$in": []}}, "none"),
        ({"key": {"$nin": []}}, "all"),
        ({"$not": {}}, "none"),
        ({"$or": [{}, {"key": 1}]}, "all"),
        ({"$and": [{"key": 1}, {"$or": []}]}, "none"),
    ):
        assert translate(kayak.parse_where(where)) == answer, where
    assert both("all", "all") == "all"
    assert both(has_term("x"), "none") == "none"


def test_orderings_are_not_pushed() -> None:
    for operator in ("$gt", "$gte", "$lt", "$lte"):
        assert operator not in PUSHDOWN
        with pytest.raises(kayak.FilterError, match="cannot evaluate"):
            translate(kayak.Comparison("year", operator, 1))


def test_a_foreign_kind_of_filter_is_refused() -> None:
    class Other(kayak.Where):
        def matches(self, metadata: Any) -> bool:
            return True

        def operators(self) -> frozenset[str]:
            return frozenset()

        def keys(self) -> frozenset[str]:
            return frozenset()

        def to_dict(self) -> dict[str, Any]:
            return {}

        def depth(self) -> int:
            return 1

    with pytest.raises(kayak.FilterError, match="Other"):
        translate(Other())
