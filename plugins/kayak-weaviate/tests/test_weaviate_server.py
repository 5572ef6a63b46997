"""What needs a real Weaviate server beyond the conformance suite: ownership, refusals, limits, failures, recall."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import kayak
import numpy as np
import pytest
import weaviate
from kayak.testing.strategies import METADATA_KEYS
from kayak_weaviate.plugin import open_weaviate_store
from kayak_weaviate.reading import MAX_RESULTS
from kayak_weaviate.rows import object_uuid
from kayak_weaviate.store import WeaviateLateStore
from weaviate.classes.config import Configure, DataType, Property
from weaviate_servers import Server

OpenStore = Callable[..., WeaviateLateStore]
OwnServer = Callable[..., Server]

WRITER = """
import json, sys
import kayak
from kayak_weaviate.plugin import open_weaviate_store

name, arguments = sys.argv[1], json.loads(sys.argv[2])
with open_weaviate_store(**arguments) as store:
    for number in range(20):
        store.upsert(kayak.documents([f"{name}-{number}", "shared"], [[[number, 1.0]]] * 2))
"""


def vectors(count: int, tokens: int = 8, dim: int = 16, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal((count, tokens, dim), dtype=np.float32)
    return list(drawn / np.linalg.norm(drawn, axis=2, keepdims=True))


def batch(count: int, prefix: str = "doc-", **shape: int) -> kayak.LateDocuments:
    return kayak.documents([f"{prefix}{number}" for number in range(count)], vectors(count, **shape))


def ids_of(store: WeaviateLateStore, **selection: Any) -> set[str]:
    return {doc_id for each in store.documents(**selection) for doc_id in each.doc_ids}


def upsert_for_ever(store: WeaviateLateStore, documents: kayak.LateDocuments) -> None:
    while True:
        store.upsert(documents)


def test_own_client_stays_open(client: weaviate.WeaviateClient, collection_name: str) -> None:
    store = open_weaviate_store(client=client, collection_name=collection_name)
    store.upsert(batch(2))
    store.close()
    assert client.is_connected()
    assert client.is_ready()
    with open_weaviate_store(client=client, collection_name=collection_name) as again:
        assert ids_of(again) == {"doc-0", "doc-1"}
    assert client.is_ready()


def test_a_client_that_its_owner_closes(server: Server, open_store: OpenStore) -> None:
    inner = open_store()
    store = open_weaviate_store(client=inner._connection.client, collection_name=inner._collection.name)
    store.upsert(batch(1))
    inner.close()
    for use in (store.load_index, lambda: store.upsert(batch(1)), lambda: store.delete(["doc-0"]), store.stats):
        with pytest.raises(kayak.StoreUnavailableError, match=r"connect\(\)"):
            use()


def test_a_foreign_collection_is_left_alone(client: weaviate.WeaviateClient, collection_name: str) -> None:
    theirs = client.collections.create(
        collection_name,
        properties=[Property(name="title", data_type=DataType.TEXT)],
        vector_config=Configure.Vectors.self_provided(name="other"),
    )
    uuid = theirs.data.insert({"title": "kept"}, vector={"other": [1.0, 2.0]})
    before = theirs.config.get().to_dict()
    with pytest.raises(kayak.StoreSchemaError) as caught:
        open_weaviate_store(client=client, collection_name=collection_name)
    for difference in ("'title'", "'other'", "lacks the property 'terms'", "no vector named 'colbert'"):
        assert difference in str(caught.value)
    assert theirs.config.get().to_dict() == before
    kept = theirs.query.fetch_object_by_id(uuid)
    assert kept is not None
    assert kept.properties["title"] == "kept"


def test_another_vector_name_or_search_is_refused(open_store: OpenStore) -> None:
    open_store()
    with pytest.raises(kayak.StoreSchemaError, match="no vector named 'other'"):
        open_store(vector_name="other")
    with pytest.raises(kayak.StoreSchemaError, match="searches token vectors"):
        open_store(muvera=True)


def test_muvera_parameters_are_kept(open_store: OpenStore) -> None:
    store = open_store(muvera={"ksim": 3, "dprojections": 8, "repetitions": 5})
    store.upsert(batch(30))
    assert len(store.search_candidates(kayak.query(vectors(1, seed=5)[0]), k=7).hits) == 7
    open_store()
    with pytest.raises(kayak.StoreSchemaError, match="ksim is 3, not 4"):
        open_store(muvera={"ksim": 4})


def test_an_object_that_kayak_did_not_write_is_named(open_store: OpenStore) -> None:
    store = open_store()
    store.upsert(batch(1))
    store._collection.data.insert({"doc_id": "forged"}, vector={"colbert": [[1.0] * 16]})
    with pytest.raises(kayak.StoreCorruptError, match="'forged'"):
        store.load_index()


def test_hostile_keys_values_ids_and_texts(open_store: OpenStore) -> None:
    store = open_store()
    hostile = ["'", '"', "\\", "*", "?", "a*", " a ", "", "A", "a", "\x00", "é", "e\u0301", "\U0001f600", "x" * 70_000]
    ids = [f"{number}{text}" for number, text in enumerate(hostile)]
    rows = [dict.fromkeys(METADATA_KEYS, text) for text in hostile]
    store.upsert(kayak.documents(ids, vectors(len(ids)), texts=hostile), metadata=rows)
    by_id = {
        doc_id: (text, row)
        for each in store.documents()
        for doc_id, text, row in zip(each.doc_ids, each.texts or (), each.metadata or (), strict=True)
    }
    assert by_id == dict(zip(ids, zip(hostile, rows, strict=True), strict=True))
    for key in METADATA_KEYS:
        for doc_id, text in zip(ids, hostile, strict=True):
            assert ids_of(store, where={key: text}) == {doc_id}
            assert ids_of(store, where={key: {"$ne": text}}) == set(ids) - {doc_id}


def test_batches_beyond_one_message(open_store: OpenStore) -> None:
    store = open_store()
    documents = batch(600, tokens=64, dim=128)  # 20 MB, six requests
    store.upsert(documents)
    index = store.load_index(doc_ids=documents.doc_ids)
    assert index.as_packed_token_matrix().tobytes() == documents.block.vectors.tobytes()
    store.delete(documents.doc_ids)
    assert store.stats().document_count == 0


def test_a_document_of_many_tokens(open_store: OpenStore) -> None:
    store = open_store()
    long = kayak.documents(["long", "short"], [vectors(1, tokens=20_000, dim=128)[0], vectors(1, dim=128)[0]])
    store.upsert(long)
    found = store.load_index(doc_ids=["long"])
    assert found.as_packed_token_matrix().tobytes() == long.token_matrices[0].tobytes()


@pytest.mark.soak
def test_filters_that_select_more_than_one_query_returns(open_store: OpenStore) -> None:
    store = open_store()
    count = MAX_RESULTS + 50
    documents = kayak.documents([f"{n}" for n in range(count)], [[[float(n % 7), 1.0]] for n in range(count)])
    store.upsert(documents, metadata=[{"shelf": n % 2, "all": True} for n in range(count)])
    assert len(ids_of(store, where={"all": True})) == count
    assert len(ids_of(store, where={"shelf": 1})) == count // 2
    with pytest.raises(kayak.StoreError, match="QUERY_MAXIMUM_RESULTS"):
        store.search_candidates(kayak.query([[1.0, 0.0]]), k=count)


def test_candidates_are_maxsim(open_store: OpenStore) -> None:
    store = open_store()
    documents = batch(300, tokens=12, dim=32)
    store.upsert(documents, metadata=[{"even": n % 2 == 0} for n in range(300)])
    query = kayak.query(vectors(1, tokens=6, dim=32, seed=9)[0])
    index = store.load_index()
    exact = dict(zip(index.doc_ids, index.maxsim(query).values.tolist(), strict=True))
    best = sorted(exact, key=lambda doc_id: -exact[doc_id])
    found = store.search_candidates(query, k=50)
    assert [hit.score for hit in found.hits] == pytest.approx([exact[hit.doc_id] for hit in found.hits], rel=1e-4)
    assert len({*best[:10]} & {*found.candidate_doc_ids}) >= 9
    even = store.search_candidates(query, k=20, where={"even": True}).candidate_doc_ids  # few enough to be compared all
    assert list(even) == [doc_id for doc_id in best if int(doc_id.removeprefix("doc-")) % 2 == 0][:20]
    result = kayak.search_with_plan(query, store, kayak.store_native_search_plan(10, 50))
    assert result.candidate_stage.profile.bytes_read > 0


def test_another_dimension_from_another_writer(open_store: OpenStore) -> None:
    first, second = open_store(), open_store()
    assert second.vector_dim() is None
    first.upsert(batch(1, dim=16))
    with pytest.raises(kayak.InvalidInputError, match=r"8.*16"):
        second.upsert(batch(1, dim=8))


def test_a_collection_that_disappears(client: weaviate.WeaviateClient, open_store: OpenStore) -> None:
    store = open_store()
    store.upsert(batch(1))
    client.collections.delete(store._collection.name)
    for use in (store.load_index, lambda: store.upsert(batch(1)), lambda: store.delete(["doc-0"])):
        with pytest.raises(kayak.StoreError):
            use()


def test_read_only_shards(open_store: OpenStore) -> None:
    store = open_store()
    store.upsert(batch(1))
    shards = [shard.name for shard in store._collection.config.get_shards()]
    store._collection.config.update_shards("READONLY", shards)
    try:
        with pytest.raises(kayak.StoreAccessError, match="READY"):
            store.upsert(batch(2))
        assert ids_of(store) == {"doc-0"}
    finally:
        store._collection.config.update_shards("READY", shards)
    store.upsert(batch(2))
    assert ids_of(store) == {"doc-0", "doc-1"}


def test_a_repeated_upsert_changes_nothing(open_store: OpenStore) -> None:
    store = open_store()
    for _ in range(3):
        store.upsert(batch(10))
    assert store.stats().document_count == 10
    assert len(store.search_candidates(kayak.query(vectors(1, seed=3)[0]), k=50).hits) == 10


def test_processes_write_at_the_same_time(server: Server, open_store: OpenStore) -> None:
    import json

    store = open_store()
    arguments = json.dumps({**server.arguments, "collection_name": store._collection.name})
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, arguments], stderr=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    assert ids_of(store) == {"shared", *(f"{name}-{number}" for name in "abc" for number in range(20))}


def test_two_processes_create_the_collection(server: Server, collection_name: str) -> None:
    failures: list[BaseException] = []

    def open_and_close() -> None:
        try:
            open_weaviate_store(**server.arguments, collection_name=collection_name).close()
        except kayak.KayakError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_document_can_be_found_by_its_uuid(open_store: OpenStore) -> None:
    store = open_store()
    store.upsert(batch(1), metadata=[{"year": 1960}])
    found = store._collection.query.fetch_object_by_id(object_uuid("doc-0"))
    assert found is not None
    assert found.properties["doc_id"] == "doc-0"
    assert found.properties["terms"] == ["document", "metadata", '["year"]', '["year",1960]']


def test_consistency_levels(open_store: OpenStore) -> None:
    for level in ("ONE", "QUORUM", "ALL"):
        store = open_store(consistency_level=level)
        store.upsert(batch(3))
        assert len(ids_of(store)) == 3
    with pytest.raises(kayak.InvalidInputError, match="consistency_level"):
        open_store(consistency_level="most")


def test_a_wrong_grpc_port(server: Server) -> None:
    with pytest.raises(kayak.StoreUnavailableError, match="gRPC port"):
        open_weaviate_store(url=server.arguments["url"], grpc_port=1)


def test_a_wrong_key(own_server: OwnServer) -> None:
    server = own_server(
        AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED="false",
        AUTHENTICATION_APIKEY_ENABLED="true",
        AUTHENTICATION_APIKEY_ALLOWED_KEYS="right,reader",
        AUTHENTICATION_APIKEY_USERS="writer,reader",
        AUTHORIZATION_ADMINLIST_ENABLED="true",
        AUTHORIZATION_ADMINLIST_USERS="writer",
        AUTHORIZATION_ADMINLIST_READONLY_USERS="reader",
    )
    for key in (None, "wrong"):
        with pytest.raises(kayak.StoreAccessError, match="api_key="):
            open_weaviate_store(**server.arguments, api_key=key)
    with open_weaviate_store(**server.arguments, api_key="right") as store:
        store.upsert(batch(2))
    with open_weaviate_store(**server.arguments, api_key="reader") as reader:
        assert ids_of(reader) == {"doc-0", "doc-1"}
        with pytest.raises(kayak.StoreAccessError):
            reader.upsert(batch(3))
        with pytest.raises(kayak.StoreAccessError):
            reader.delete(["doc-0"])
        assert ids_of(reader) == {"doc-0", "doc-1"}


@pytest.mark.soak
def test_a_server_killed_in_the_middle_of_an_upsert(own_server: OwnServer) -> None:
    server = own_server()
    assert server.process is not None
    documents = batch(2_000, tokens=32, dim=64)
    with open_weaviate_store(**server.arguments) as store:
        store.upsert(batch(5, prefix="before-", tokens=32, dim=64))
        timer = threading.Timer(1.0, server.process.kill)
        timer.start()
        with pytest.raises((kayak.StoreWriteError, kayak.StoreUnavailableError)) as caught:
            upsert_for_ever(store, documents)  # until the kill falls into one of them
        timer.join()
    acknowledged = set(getattr(caught.value, "written_doc_ids", ()))
    with open_weaviate_store(**own_server().arguments) as again:
        index = again.load_index()
        matrices = dict(zip(documents.doc_ids, documents.token_matrices, strict=True))
        assert acknowledged | {f"before-{number}" for number in range(5)} <= set(index.doc_ids)
        for number, doc_id in enumerate(index.doc_ids):
            if doc_id in matrices:
                assert index.document_token_matrix(number).tobytes() == matrices[doc_id].tobytes()
        again.upsert(documents)
        assert again.stats().document_count == 2_005


def test_a_server_that_goes_away(own_server: OwnServer) -> None:
    server = own_server()
    with open_weaviate_store(**server.arguments, timeout=5) as store:
        store.upsert(batch(1))
        server.stop()
        with pytest.raises(kayak.StoreUnavailableError):
            store.encoder_fingerprint()
        with pytest.raises(kayak.StoreUnavailableError):
            store.delete(["doc-0"])
    with pytest.raises(kayak.StoreUnavailableError):
        open_weaviate_store(**server.arguments, timeout=5)
