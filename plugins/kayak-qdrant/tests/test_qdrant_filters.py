"""Compiled filters mean what `Where.matches` says, in the Python engine of local mode and in Qdrant's real one."""

from __future__ import annotations

from typing import Any

import kayak
import pytest
import qdrant_edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kayak.testing.store_selection import LOGICAL, OPERANDS, VALUES
from kayak.testing.strategies import METADATA_KEYS, metadata_rows, where_filters
from kayak_qdrant.filters import OPERATORS, compile_filter, split_filter
from kayak_qdrant.payloads import payload_of
from qdrant_client import QdrantClient, models

NAME = "filters"
VECTOR = [[1.0]]
HUGE = ({"key": {"$gt": 2**53}}, {"key": {"$lte": -(2**53)}}, {"key": {"$lt": 1e300}}, {"key": {"$gte": "a"}})


def payloads(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    vectors = kayak.documents(["a"], [VECTOR]).token_matrices[0]
    return [payload_of(kayak.StoredDocument(f"{n}", vectors, None, row)) for n, row in enumerate(rows)]


class LocalEngine:
    """The engine of the client's local mode, in Python."""

    def __init__(self) -> None:
        self.client = QdrantClient(location=":memory:")

    def load(self, rows: list[dict[str, Any]]) -> None:
        self.client.delete_collection(NAME)
        self.client.create_collection(NAME, vectors_config={})
        points = [models.PointStruct(id=n, vector={}, payload=each) for n, each in enumerate(payloads(rows))]
        self.client.upsert(NAME, points)

    def select(self, conditions: models.Filter) -> set[int]:
        return {int(each.id) for each in self.client.scroll(NAME, scroll_filter=conditions, limit=1_000)[0]}

    def close(self) -> None:
        self.client.close()


class EdgeEngine:
    """The engine of Qdrant's servers, in this process, with and without payload indexes."""

    def __init__(self, path: str, *, indexed: bool) -> None:
        params = qdrant_edge.EdgeVectorParams(size=1, distance=qdrant_edge.Distance.Dot)
        self.shard = qdrant_edge.EdgeShard.create(path, qdrant_edge.EdgeConfig(vectors=params))
        self.count = 0
        kinds = qdrant_edge.PayloadSchemaType
        fields = {"terms": kinds.Keyword, "numbers.key": kinds.Float, "numbers.year": kinds.Float}
        for field, kind in fields.items() if indexed else ():
            self.shard.update(qdrant_edge.UpdateOperation.create_field_index(field, kind))

    def load(self, rows: list[dict[str, Any]]) -> None:
        old = list(range(self.count))
        if old:
            self.shard.update(qdrant_edge.UpdateOperation.delete_points(old))
        points = [qdrant_edge.Point(n, [1.0], each) for n, each in enumerate(payloads(rows))]
        self.shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
        self.count = len(rows)

    def select(self, conditions: models.Filter) -> set[int]:
        found, _ = self.shard.scroll(qdrant_edge.ScrollRequest(limit=1_000, filter=edge_filter(conditions)))
        return {each.id for each in found}

    def close(self) -> None:
        self.shard.close()


def edge_filter(conditions: models.Filter) -> qdrant_edge.Filter:
    given_lists = {
        name: None if each is None else [edge_condition(one) for one in each]
        for name, each in (("must", conditions.must), ("should", conditions.should), ("must_not", conditions.must_not))
    }
    return qdrant_edge.Filter(**given_lists)


def edge_condition(condition: Any) -> Any:
    if isinstance(condition, models.Filter):
        return edge_filter(condition)
    if condition.range is not None:
        bounds = {name: getattr(condition.range, name) for name in ("gt", "gte", "lt", "lte")}
        return qdrant_edge.FieldCondition(condition.key, range=qdrant_edge.RangeFloat(**bounds))
    if isinstance(condition.match, models.MatchAny):
        return qdrant_edge.FieldCondition(condition.key, match=qdrant_edge.MatchAny(condition.match.any))
    return qdrant_edge.FieldCondition(condition.key, match=qdrant_edge.MatchValue(condition.match.value))


@pytest.fixture(params=["local", "edge", "edge indexed"])
def engine(request, tmp_path):
    if request.param == "local":
        opened = LocalEngine()
    else:
        (tmp_path / "shard").mkdir()
        opened = EdgeEngine(str(tmp_path / "shard"), indexed=request.param == "edge indexed")
    yield opened
    opened.close()


def assert_selects(engine, rows: list[dict[str, Any]], filter_: dict[str, Any]) -> bool:
    """Compare the part that is pushed down with `matches`; return whether that part is all of the filter."""
    where = kayak.parse_where(filter_)
    pushed, rest = split_filter(where)
    for row in rows:
        parts = [part.matches(row) for part in (pushed, rest) if part is not None]
        assert all(parts) == where.matches(row), f"{filter_} was divided into {pushed!r} and {rest!r}"
    if pushed is not None:
        expected = {number for number, row in enumerate(rows) if pushed.matches(row)}
        found = engine.select(compile_filter(pushed))
        assert found == expected, (
            f"{pushed!r}: missing {[rows[n] for n in expected - found]}, extra {[rows[n] for n in found - expected]}"
        )
    return rest is None


def test_each_operator(engine):
    rows = [*({"key": value} for value in VALUES), {}, {"other": 1}, {"key": 2**53 - 1}, {"key": 1 - 2**53}]
    engine.load(rows)
    for operator, operands in OPERANDS.items():
        for operand in operands:
            whole = assert_selects(engine, rows, {"key": {operator: operand}})
            is_range = operator in ("$gt", "$gte", "$lt", "$lte")
            assert whole != (is_range and (isinstance(operand, str) or abs(operand) >= 2**53))


def test_logic(engine):
    rows = [*({"key": value} for value in VALUES), {}, {"other": 1}]
    engine.load(rows)
    for where in LOGICAL:
        assert assert_selects(engine, rows, where)
    for where in HUGE:
        assert not assert_selects(engine, rows, where)
        assert not assert_selects(engine, rows, {"$not": where})
        assert not assert_selects(engine, rows, {"$or": [where, {"key": 1}]})
        pushed, rest = split_filter(kayak.parse_where({**where, "other": 1}))
        assert (pushed, rest) == (kayak.parse_where({"other": 1}), kayak.parse_where(where))


def test_hostile_keys(engine):
    keys = [*METADATA_KEYS, "a", "a[0]", "b", "numbers", "terms", "x" * 500, "x" * 501, '"', "]", "長", "A", "-1"]
    rows = [{key: 1} for key in keys] + [{"a": {"b": 1}}, {"a": [1]}, {key: n for n, key in enumerate(keys)}]
    engine.load(rows)
    for key in keys:
        for condition in (1, {"$exists": False}, {"$gte": 1}, {"$lt": 5}, {"$in": [1, 2.5]}):
            assert assert_selects(engine, rows, {key: condition})


def test_long_values_stay_apart(engine):
    rows = [{"key": "x" * 1_000}, {"key": "x" * 1_001}, {"key": ["x" * 1_000]}, {"key": 1e300}, {"key": 10**18}]
    engine.load(rows)
    for row in rows:
        assert assert_selects(engine, rows, {"key": {"$eq": row["key"]}})
        assert assert_selects(engine, rows, {"key": {"$ne": row["key"]}})


def test_random_filters(engine):
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(metadata_rows(keys=("year", "topic", "a.b", "")), min_size=1, max_size=6),
        st.lists(where_filters(keys=("year", "topic", "a.b", "")), min_size=1, max_size=6),
    )
    def check(rows, filters):
        engine.load(rows)
        for where in filters:
            assert_selects(engine, rows, where)

    check()


def test_deepest_filter(engine):
    rows = [{"key": 1}, {"key": 2}, {}]
    engine.load(rows)
    where: dict[str, Any] = {"key": 1}
    while True:
        deeper = {"$not": where}
        try:
            kayak.parse_where(deeper)
        except kayak.FilterError:
            break
        where = deeper
        assert assert_selects(engine, rows, where)


def test_every_operator_is_declared():
    assert set(OPERATORS) == {*OPERANDS, "$and", "$or", "$not"}


def test_another_kind_of_filter_is_left_to_the_client():
    class Custom(kayak.Where):
        def matches(self, metadata):
            return "x" in metadata

        def operators(self):
            return frozenset({"$custom"})

        def keys(self):
            return frozenset({"x"})

        def to_dict(self):
            return {}

        def depth(self):
            return 1

    custom, plain = Custom(), kayak.parse_where({"x": 1})
    assert split_filter(custom) == (None, custom)
    assert split_filter(kayak.And((plain, custom))) == (plain, custom)
    with pytest.raises(kayak.InvalidTypeError):
        compile_filter(custom)
