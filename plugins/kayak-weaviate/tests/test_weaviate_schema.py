"""The collection that Kayak creates, and every way in which an existing one may differ."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import kayak
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak_weaviate.schema import Layout, describe, described_encoder
from weaviate.collections.classes.config import _CollectionConfigCreate
from weaviate.collections.classes.config_methods import _collection_config_from_json
from weaviate.outputs.config import CollectionConfig

PLACE = "collection 'LateDocument' at http://localhost:8080"
SERVER_DEFAULTS = {
    "invertedIndexConfig": {
        "bm25": {"b": 0.75, "k1": 1.2},
        "cleanupIntervalSeconds": 60,
        "stopwords": {"preset": "en", "additions": None, "removals": None},
    },
    "multiTenancyConfig": {"enabled": False, "autoTenantCreation": False, "autoTenantActivation": False},
    "shardingConfig": {
        "virtualPerPhysical": 128,
        "desiredCount": 1,
        "actualCount": 1,
        "desiredVirtualCount": 128,
        "actualVirtualCount": 128,
        "key": "_id",
        "strategy": "hash",
        "function": "murmur3",
    },
    "replicationConfig": {"factor": 1, "asyncEnabled": False, "deletionStrategy": "NoAutomatedResolution"},
}
INDEX_DEFAULTS = {
    "cleanupIntervalSeconds": 300,
    "dynamicEfMin": 100,
    "dynamicEfMax": 500,
    "dynamicEfFactor": 8,
    "ef": -1,
    "efConstruction": 128,
    "flatSearchCutoff": 40_000,
    "maxConnections": 32,
    "skip": False,
    "vectorCacheMaxObjects": 10**12,
    "distance": "cosine",
    "multivector": {"enabled": False},
}
PROPERTY_DEFAULTS = {"indexFilterable": True, "indexSearchable": False, "indexRangeFilters": False}
EXPIRING = {"enabled": True, "defaultTtl": 60, "deleteOn": "_creationTimeUnix", "filterExpiredObjects": True}
MUVERA_DEFAULTS = {"enabled": False, "ksim": 4, "dprojections": 16, "repetitions": 10}


def schema(layout: Layout) -> dict[str, Any]:
    """Return the JSON that a server answers after creating the collection: what was sent, with its defaults."""
    sent = _CollectionConfigCreate(**layout.creation())._to_dict()
    answered: dict[str, Any] = {**copy.deepcopy(SERVER_DEFAULTS), **json.loads(json.dumps(sent))}
    answered["properties"] = [{**PROPERTY_DEFAULTS, **each} for each in answered["properties"]]
    for vector in answered["vectorConfig"].values():
        index = {**copy.deepcopy(INDEX_DEFAULTS), **vector["vectorIndexConfig"]}
        index["multivector"]["muvera"] = {**MUVERA_DEFAULTS, **index["multivector"].get("muvera", {})}
        vector["vectorIndexConfig"] = index
    return answered


def parsed(answer: dict[str, Any]) -> CollectionConfig:
    return _collection_config_from_json(copy.deepcopy(answer))


def test_what_is_created() -> None:
    sent = _CollectionConfigCreate(**Layout("LateDocument", "colbert").creation())._to_dict()
    assert sent["class"] == "LateDocument"
    assert sent["vectorConfig"] == {
        "colbert": {
            "vectorizer": {"none": {}},
            "vectorIndexType": "hnsw",
            "vectorIndexConfig": {
                "distance": "dot",
                "multivector": {"enabled": True, "aggregation": "maxSim"},
                "skipDefaultQuantization": True,
            },
        }
    }
    properties = {each["name"]: each for each in sent["properties"]}
    assert {name: each["dataType"] for name, each in properties.items()} == {
        "doc_id": ["text"],
        "text": ["text"],
        "metadata": ["text"],
        "terms": ["text[]"],
        "vector_count": ["int"],
    }
    assert [name for name, each in properties.items() if each["indexFilterable"]] == ["terms", "vector_count"]
    assert not any(each.get("indexSearchable") for each in properties.values())
    assert properties["terms"]["tokenization"] == "field"


def test_muvera_is_sent() -> None:
    for muvera, expected in ((True, {"enabled": True}), ({"ksim": 5}, {"enabled": True, "ksim": 5})):
        sent = _CollectionConfigCreate(**Layout("LateDocument", "colbert", muvera).creation())._to_dict()
        assert sent["vectorConfig"]["colbert"]["vectorIndexConfig"]["multivector"]["muvera"] == expected


@pytest.mark.parametrize("muvera", [None, False, True, {"ksim": 5, "repetitions": 20}])
def test_what_was_created_can_be_opened(muvera: Any) -> None:
    layout = Layout("LateDocument", "colbert", muvera)
    layout.require_equal(parsed(schema(layout)), PLACE)
    Layout("LateDocument", "colbert").require_equal(parsed(schema(layout)), PLACE)


def _drop(*path: str) -> Callable[[dict[str, Any]], object]:
    def change(answer: dict[str, Any]) -> None:
        for step in path[:-1]:
            answer = answer[step]
        del answer[path[-1]]

    return change


def _put(value: Any, *path: str) -> Callable[[dict[str, Any]], object]:
    def change(answer: dict[str, Any]) -> None:
        for step in path[:-1]:
            answer = answer[step]
        answer[path[-1]] = value

    return change


def _property(name: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    def change(answer: dict[str, Any]) -> None:
        next(each for each in answer["properties"] if each["name"] == name).update(changes)

    return change


INDEX = ("vectorConfig", "colbert", "vectorIndexConfig")
FLAT = {"distance": "dot", "vectorCacheMaxObjects": 1, "multivector": {"enabled": False}}
DIFFERENCES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (_drop("description"), "its description is None"),
    (_put("Articles", "description"), "its description is 'Articles'"),
    (_put("Kayak documents, format 2", "description"), "its format is 2"),
    (lambda answer: answer["properties"].pop(1), "lacks the property 'text'"),
    (
        lambda answer: answer["properties"].append({**PROPERTY_DEFAULTS, "name": "title", "dataType": ["text"]}),
        "has the property 'title', which upserts would erase",
    ),
    (
        lambda answer: answer["properties"].append({"name": "author", "dataType": ["Person"]}),
        "has the reference 'author'",
    ),
    (_property("vector_count", dataType=["number"]), "'vector_count' is number, not int"),
    (_property("terms", indexFilterable=False), "'terms' has no index for filters"),
    (_property("terms", tokenization="word"), "'terms' is tokenised as word, not field"),
    (_put("cosine", *INDEX, "distance"), "compared by cosine, not dot"),
    (_put({"enabled": False}, *INDEX, "multivector"), "holds one vector a document"),
    (_put({"text2colbert-jinaai": {}}, "vectorConfig", "colbert", "vectorizer"), "made by text2colbert-jinaai"),
    (
        lambda answer: answer["vectorConfig"]["colbert"].update(vectorIndexType="flat", vectorIndexConfig=FLAT),
        "an index of type flat, not hnsw",
    ),
    (lambda answer: answer["vectorConfig"].update(other=answer["vectorConfig"].pop("colbert")), "no vector named"),
    (
        lambda answer: answer["vectorConfig"].update(other=copy.deepcopy(answer["vectorConfig"]["colbert"])),
        "has the vector 'other', which upserts would erase",
    ),
    (_put(True, "multiTenancyConfig", "enabled"), "divided into tenants"),
    (
        _put(EXPIRING, "objectTtlConfig"),
        "its objects expire",
    ),
]


@pytest.mark.parametrize(("change", "message"), DIFFERENCES, ids=[message for _, message in DIFFERENCES])
def test_each_difference_is_spelled_out(change: Callable[[dict[str, Any]], object], message: str) -> None:
    layout = Layout("LateDocument", "colbert")
    answer = schema(layout)
    change(answer)
    with pytest.raises(kayak.StoreSchemaError, match=message) as caught:
        layout.require_equal(parsed(answer), PLACE)
    assert PLACE in str(caught.value)
    assert "nothing was changed" in str(caught.value)


def test_a_collection_without_named_vectors_is_refused() -> None:
    answer = schema(Layout("LateDocument", "colbert"))
    vector = answer.pop("vectorConfig")["colbert"]
    answer.update(vector, vectorizer="none")
    with pytest.raises(kayak.StoreSchemaError, match="no vector named 'colbert'"):
        Layout("LateDocument", "colbert").require_equal(parsed(answer), PLACE)


@pytest.mark.parametrize(
    ("made", "opened", "message"),
    [
        (True, False, "searches with MUVERA, but muvera=False"),
        (None, True, "searches token vectors, but muvera="),
        (True, {"ksim": 5}, "MUVERA's ksim is 4, not 5"),
    ],
)
def test_another_search_is_refused(made: Any, opened: Any, message: str) -> None:
    found = parsed(schema(Layout("LateDocument", "colbert", made)))
    with pytest.raises(kayak.StoreSchemaError, match=message):
        Layout("LateDocument", "colbert", opened).require_equal(found, PLACE)


@given(st.none() | st.text(st.characters(exclude_categories=["Cs"])))
def test_the_description_keeps_the_encoder(encoder: str | None) -> None:
    assert described_encoder(describe(encoder)) == encoder
    assert describe(encoder).isascii()


def test_another_description_names_no_encoder() -> None:
    assert described_encoder(None) is None
    assert described_encoder("Articles") is None


@pytest.mark.parametrize(
    "name", ["", "lateDocument", "1st", "Late Document", "Late-Document", "Läte", "L" * 231, "A\n"]
)
def test_names_that_weaviate_would_change_or_refuse(name: str) -> None:
    with pytest.raises(kayak.InvalidInputError, match="collection_name"):
        Layout(name, "colbert")


@pytest.mark.parametrize("name", ["", "a b", "1st", "vé", '"', "v" * 231])
def test_vector_names(name: str) -> None:
    with pytest.raises(kayak.InvalidInputError, match="vector_name"):
        Layout("LateDocument", name)


def test_types_of_arguments() -> None:
    wrong: Any
    for wrong in (None, 7):
        with pytest.raises(kayak.InvalidTypeError, match="collection_name"):
            Layout(wrong, "colbert")
    for wrong in ("yes", 3, [4]):
        with pytest.raises(kayak.InvalidTypeError, match="muvera"):
            Layout("LateDocument", "colbert", wrong)
    for wrong in ({"k": 1}, {"ksim": 0}, {"ksim": True}, {"ksim": 2.5}):
        with pytest.raises(kayak.InvalidInputError, match="muvera"):
            Layout("LateDocument", "colbert", wrong)
