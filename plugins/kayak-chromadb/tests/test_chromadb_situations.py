"""Ways to open a store: a folder, memory, a server, a client of one's own; and what is refused."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import chromadb
import kayak
import numpy as np
import pytest
from chroma_servers import Server
from chromadb.config import Settings
from kayak_chromadb import plugin
from kayak_chromadb.plugin import open_chroma_store


def some(count: int = 2, dim: int = 4) -> kayak.LateDocuments:
    return kayak.documents([f"d{n}" for n in range(count)], [np.full((2, dim), n + 1.0) for n in range(count)])


def test_the_spec_imports_no_client() -> None:
    code = (
        "import sys, kayak_chromadb.plugin as p; (spec,) = p.kayak_stores(); print(spec.names); "
        "sys.exit(any(m in sys.modules for m in ('chromadb', 'httpx', 'filelock')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "('chromadb', 'chroma')"), done.stderr


def test_nothing_connects_anywhere(tmp_path: Path) -> None:
    """No model is downloaded and no telemetry sent: an embedded store opens no connection at all."""
    code = f"""
import sys, numpy as np, kayak
opened = []
sys.addaudithook(lambda event, args: opened.append(args) if event == "socket.connect" else None)
from kayak_chromadb.plugin import open_chroma_store
with open_chroma_store(path={str(tmp_path)!r}) as store:
    store.upsert(kayak.documents(["a"], [np.ones((1, 2))], texts=["some text"]))
    store.search_candidates(kayak.query([[1.0, 0.0]]), k=1)
sys.exit(repr(opened) if opened else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"path": "x", "host": "y"},
        {"path": ":memory:", "port": 8000},
        {"path": ":memory:", "ssl": True},
        {"path": ":memory:", "headers": {}},
        {"host": "localhost", "port": 0},
        {"host": "localhost", "port": "8000"},
        {"host": "localhost", "port": True},
        {"client": object(), "tenant": "t"},
        {"path": ":memory:", "collection_name": "a/b"},
    ],
)
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(kayak.InvalidInputError):
        open_chroma_store(**arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("arguments", [{"client": object()}, {"path": 7}, {"path": ":memory:", "collection_name": 7}])
def test_wrong_types(arguments: dict[str, object]) -> None:
    with pytest.raises(kayak.InvalidTypeError):
        open_chroma_store(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_stores_in_memory_share_nothing() -> None:
    with open_chroma_store(path=":memory:") as first, open_chroma_store(path=":memory:") as second:
        first.upsert(some())
        assert second.stats().document_count == 0
    with open_chroma_store(path=":memory:") as again:
        assert again.stats().document_count == 0
        assert not again.capabilities().persistent


def test_one_folder_twice_in_one_process(tmp_path: Path) -> None:
    first = open_chroma_store(path=tmp_path)
    second = open_chroma_store(path=str(tmp_path / "." / "x" / ".."))
    first.upsert(some(3))
    assert second.stats().document_count == 3
    first.close()
    second.upsert(some(5))
    second.close()
    with open_chroma_store(path=tmp_path) as again:
        assert again.stats().document_count == 5


def test_a_client_of_one_s_own_on_the_same_folder_goes_on(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path.resolve()) as client:
        with open_chroma_store(path=tmp_path) as store:
            store.upsert(some())
        assert client.get_collection(plugin.DEFAULT_COLLECTION, embedding_function=None).count() == 2
        with open_chroma_store(client=client) as store:
            assert store.stats().document_count == 2
            assert store.capabilities().persistent
        assert client.heartbeat()


def test_a_client_with_settings_of_its_own_is_named(tmp_path: Path) -> None:
    theirs = chromadb.PersistentClient(tmp_path.resolve(), Settings(allow_reset=True))
    with theirs, pytest.raises(kayak.InvalidInputError, match="client="):
        open_chroma_store(path=tmp_path)


def test_a_client_in_memory_is_not_persistent() -> None:
    name = f"c-{uuid.uuid4().hex}"
    with chromadb.EphemeralClient() as client, open_chroma_store(client=client, collection_name=name) as store:
        assert not store.capabilities().persistent


def test_collections_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path.resolve()) as client:
        theirs = client.create_collection("theirs", embedding_function=None, metadata={"owner": "me"})
        theirs.add(ids=["x"], embeddings=[[1.0, 2.0]])
        with pytest.raises(kayak.StoreSchemaError, match=r"kayak:format.*None.*expected 1.*distance.*l2.*ip"):
            open_chroma_store(client=client, collection_name="theirs")
        after = client.get_collection("theirs", embedding_function=None)
        assert (after.metadata, after.count()) == ({"owner": "me"}, 1)
        client.create_collection("later", embedding_function=None, metadata={"kayak:format": 99})
        with pytest.raises(kayak.StoreVersionError, match="99"):
            open_chroma_store(client=client, collection_name="later")


def test_a_missing_collection_is_created_only_if_wanted(tmp_path: Path) -> None:
    with pytest.raises(kayak.StoreSchemaError, match=r"'here'.*none.*create=True"):
        open_chroma_store(path=tmp_path, collection_name="here", create=False)
    with open_chroma_store(path=tmp_path, collection_name="here") as store:
        store.upsert(some())
    with open_chroma_store(path=tmp_path, collection_name="here", create=False) as store:
        assert store.stats().document_count == 2
    with pytest.raises(kayak.StoreSchemaError, match="here"):
        open_chroma_store(path=tmp_path, collection_name="other", create=False)


def test_the_fingerprint_keeps_other_metadata_of_the_collection(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path.resolve()) as client, open_chroma_store(client=client) as store:
        collection = client.get_collection(plugin.DEFAULT_COLLECTION, embedding_function=None)
        collection.modify(metadata={**collection.metadata, "note": "mine"})
        store.set_encoder_fingerprint("model-1")
        after = client.get_collection(plugin.DEFAULT_COLLECTION, embedding_function=None).metadata
        assert after["note"] == "mine"
        with open_chroma_store(client=client) as again:
            assert again.encoder_fingerprint() == "model-1"


def test_tenant_and_database(chroma_server: Server) -> None:
    with pytest.raises(kayak.KayakError, match=r"nowhere|tenant|database"):
        open_chroma_store(**chroma_server.arguments, database="nowhere")  # type: ignore[arg-type]


def test_threads_of_several_stores_on_one_server(chroma_server: Server) -> None:
    """Writers that replace one document at the same time leave no filter value of the loser."""
    from concurrent.futures import ThreadPoolExecutor

    name = f"race-{uuid.uuid4().hex}"
    stores = [open_chroma_store(**chroma_server.arguments, collection_name=name) for _ in range(3)]  # type: ignore[arg-type]
    try:
        stores[0].upsert(some())

        def write(number: int) -> None:
            for turn in range(5):
                row = {f"key-{number}": turn, "writer": number}
                stores[number].upsert(some(), metadata=[row, row])

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, range(3)))
        for doc_id, row in stores[0].read_metadata(kayak.StoreSelection()):
            for number in range(3):
                held = doc_id in {
                    found for batch in stores[0].documents(where={f"key-{number}": 4}) for found in batch.doc_ids
                }
                assert held == (row["writer"] == number)
    finally:
        for store in stores:
            store.close()
