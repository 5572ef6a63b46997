"""What goes wrong: servers that are down or go away, folders that are held or read-only, damage, and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import chromadb
import kayak
import numpy as np
import pytest
from chroma_servers import Server, free_port, start, stop
from kayak_chromadb import store as store_module
from kayak_chromadb.errors import chroma_calls
from kayak_chromadb.plugin import open_chroma_store

DIM = 8


def batch(count: int, *, version: int = 0, tokens: int = 3) -> kayak.LateDocuments:
    matrices = [np.full((tokens, DIM), version * 1000 + n + 1.0) for n in range(count)]
    return kayak.documents([f"d{n}" for n in range(count)], matrices, texts=[f"v{version}"] * count)


def test_a_server_that_is_down() -> None:
    with pytest.raises(kayak.StoreUnavailableError, match=r"127\.0\.0\.1:\d+ does not answer.*chroma run"):
        open_chroma_store(host="127.0.0.1", port=free_port())


def test_a_connection_that_drops_between_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what was written; the same upsert, once the server is back, completes it."""
    monkeypatch.setattr(store_module, "_MOST_ROWS", 4)
    port = free_port()
    process = start(tmp_path, port)
    processes = [process]
    try:
        store = open_chroma_store(host="127.0.0.1", port=port)
        upsert = store._collection.upsert
        requests: list[int] = []

        def kill_before_the_third(**columns: object) -> None:
            requests.append(1)
            if len(requests) == 3:
                stop(process)
            upsert(**columns)  # type: ignore[arg-type]

        monkeypatch.setattr(store._collection, "upsert", kill_before_the_third)
        with pytest.raises(kayak.StoreWriteError, match="8 of 12 documents were written") as raised:
            store.upsert(batch(12))
        assert raised.value.written_doc_ids == tuple(f"d{n}" for n in range(8))
        assert isinstance(raised.value.__cause__, kayak.StoreUnavailableError)
        for use in (store.stats, store.load_index, lambda: store.delete(["d0"]), lambda: store.upsert(batch(1))):
            with pytest.raises(kayak.StoreUnavailableError):
                use()
        processes.append(start(tmp_path, port))
        assert store.stats().document_count == 8
        for _ in range(2):
            store.upsert(batch(12))
            assert store.stats().document_count == 12
        store.close()
    finally:
        stop(processes[-1])


def test_a_document_beyond_the_server_s_limit(chroma_server: Server) -> None:
    name = f"large-{uuid.uuid4().hex}"
    with open_chroma_store(**chroma_server.arguments, collection_name=name) as store:  # type: ignore[arg-type]
        with pytest.raises(kayak.InvalidInputError, match="refuses a request of this size"):
            store.upsert(kayak.documents(["a"], [np.ones((90_000, 128), np.float32)]))
        assert store.stats().document_count == 0


def test_a_collection_that_somebody_deletes(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path.resolve()) as client, open_chroma_store(client=client) as store:
        store.upsert(batch(2))
        client.delete_collection("late_documents")
        for use in (store.load_index, lambda: store.upsert(batch(1)), store.encoder_fingerprint):
            with pytest.raises(kayak.StoreSchemaError, match="is gone"):
                use()


def test_a_dimension_that_another_client_fixed_meanwhile(tmp_path: Path) -> None:
    with chromadb.PersistentClient(tmp_path.resolve()) as client, open_chroma_store(client=client) as store:
        client.get_collection("late_documents", embedding_function=None).add(ids=["x"], embeddings=[[1.0, 2.0]])
        with pytest.raises(kayak.InvalidInputError, match=r"\b2\b"):
            store.upsert(batch(1))


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(kayak.StorePathError, match="cannot be used as a folder"):
            open_chroma_store(path=path)


def run(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload,no-any-return]


OPEN = """
import sys, kayak
from kayak_chromadb.plugin import open_chroma_store
try:
    open_chroma_store(path=sys.argv[1]).close()
except kayak.StoreError as error:
    print(type(error).__name__, error)
"""


def test_a_folder_that_another_process_holds(tmp_path: Path) -> None:
    with open_chroma_store(path=tmp_path), open_chroma_store(path=tmp_path):
        held = run(OPEN, tmp_path)
        assert held.stdout.startswith("StoreBusyError"), held.stderr
        assert "chroma run --path" in held.stdout
    assert run(OPEN, tmp_path).stdout == ""


def test_a_forked_child_does_not_believe_it_holds_the_folder(tmp_path: Path) -> None:
    code = """
import os, sys, kayak
from pathlib import Path
from kayak_chromadb.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
child = os.fork()
if not child:
    try:
        FolderLock(Path(sys.argv[1]))
    except kayak.StoreBusyError:
        os._exit(7)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code, tmp_path).stdout.strip() == "7"


READ_ONLY = """
import os, sys, kayak
import kayak_chromadb.connection, kayak_chromadb.store
from kayak_chromadb.plugin import open_chroma_store
if os.getuid() == 0:
    os.setuid(65534)  # rights do not bind the superuser
try:
    open_chroma_store(path=sys.argv[1]).close()
except kayak.StoreError as error:
    print(type(error).__name__, error)
"""


def test_a_folder_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as parent:  # pytest's own folders are closed to other users
        folder = Path(parent) / "chroma"
        with open_chroma_store(path=folder) as store:
            store.upsert(batch(1))
        everything = [Path(parent), folder, *folder.rglob("*")]
        for path in everything:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            done = run(READ_ONLY, folder)
        finally:
            for path in everything:
                path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.stdout.startswith("StoreAccessError"), done.stderr
    assert "rights" in done.stdout


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("attempt to write a readonly database", kayak.StoreAccessError),
        ("unable to open database file", kayak.StorePathError),
        ("something else", kayak.StoreError),
    ],
)
def test_what_chroma_reports_is_translated(message: str, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=message) as raised, chroma_calls("Chroma in x"):
        raise chromadb.errors.InternalError(message)
    assert type(raised.value) is expected
    with pytest.raises(kayak.StoreAccessError, match="credentials"), chroma_calls("Chroma in x"):
        raise chromadb.errors.ChromaAuthError
    with pytest.raises(ZeroDivisionError), chroma_calls("Chroma in x"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"uris": ["AAAA"]}, "holds 3 bytes, expected 3 vectors of 8 float32"),
        ({"uris": ["no base64!"]}, "no base64"),
        ({"metadatas": [{"kayak:vectors": "x"}]}, "expected 'x' vectors"),
        ({"metadatas": [{"kayak:metadata": None}]}, "no JSON object"),
        ({"metadatas": [{"kayak:metadata": "["}]}, "no JSON object"),
        ({"metadatas": [{"kayak:metadata": "[]"}]}, "no JSON object"),
    ],
)
def test_damaged_records_are_named(change: dict[str, list[object]], complaint: str) -> None:
    name = f"c-{uuid.uuid4().hex}"
    with chromadb.EphemeralClient() as client, open_chroma_store(client=client, collection_name=name) as store:
        store.upsert(batch(2))
        store._collection.update(ids=["d1"], **change)  # type: ignore[arg-type]
        with pytest.raises(kayak.StoreCorruptError, match=rf"'d1'.*{complaint}.*delete"):
            list(store.documents())
        store.delete(["d1"])
        assert next(iter(store.documents())).doc_ids == ("d0",)


WRITER = """
import sys, numpy as np, kayak
from kayak_chromadb.plugin import open_chroma_store
with open_chroma_store(path=sys.argv[1]) as store:
    version = 0
    while True:
        version += 1
        matrices = [np.full((40, 32), version * 1000 + n + 1.0) for n in range(60)]
        batch = kayak.documents([f"d{n}" for n in range(60)], matrices, texts=[f"v{version}"] * 60)
        store.upsert(batch, metadata=[{"version": version, f"key-{version}": 1}] * 60)
        print(version, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 2])
def test_a_kill_during_upsert_leaves_whole_documents(tmp_path: Path, acknowledged: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(acknowledged):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)  # somewhere in the next upsert
        last = int((writer.stdout.read().split() or [last])[-1])
    with open_chroma_store(path=tmp_path) as store:
        found = next(iter(store.documents()))
        assert found.document_count == 60
        for doc_id, matrix, text, row in zip(
            found.doc_ids, found.token_matrices, found.texts or (), found.metadata or (), strict=True
        ):
            version = row["version"]
            assert version in (last, last + 1)
            assert (text, row) == (f"v{version}", {"version": version, f"key-{version}": 1})
            assert (matrix == version * 1000 + int(doc_id[1:]) + 1).all()
        for version in {row["version"] for row in found.metadata or ()}:
            assert store.load_index(where={f"key-{version}": 1}).document_count > 0
        assert not list(store.documents(where={f"key-{last - 1}": 1}))
        store.upsert(kayak.documents(["new"], [np.ones((1, 32))]))
        assert store.stats().document_count == 61
