"""What goes wrong with servers, rights and networks: one clear error each, and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid

import kayak
import numpy as np
import psycopg
import pytest
from kayak_pgvector.store import PgvectorLateStore
from psycopg import sql

DIMENSION = 8


def batch(count: int, *, value: float = 1.0, tokens: int = 3) -> kayak.LateDocuments:
    return kayak.documents([f"{n}" for n in range(count)], [np.full((tokens, DIMENSION), value, np.float32)] * count)


def kill_connections(admin: psycopg.Connection, schema: str) -> int:
    """End every connection of the test's stores, and wait until they are gone."""
    found = admin.execute(
        "SELECT pid, pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s",
        (schema,),
    ).fetchall()
    return len(found)


def test_server_down():
    with pytest.raises(kayak.StoreUnavailableError, match="cannot be reached"):
        PgvectorLateStore(dsn="postgresql://postgres@127.0.0.1:1/postgres")


def test_wrong_password(server_url, schema, admin):
    user = f"kayak_{uuid.uuid4().hex}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(sql.Identifier(user)))
    try:
        wrong = psycopg.conninfo.make_conninfo(server_url, user=user, password="wrong")
        with pytest.raises(kayak.StoreAccessError, match="Check user, password") as caught:
            PgvectorLateStore(dsn=wrong, schema_name=schema)
        assert "wrong" not in str(caught.value)
    finally:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


@pytest.fixture
def reader_dsn(server_url, schema, admin, store):
    """A role that may read the test's schema and nothing else."""
    store.upsert(batch(3))
    user = sql.Identifier(f"kayak_{uuid.uuid4().hex}")
    here = sql.Identifier(schema)
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'reader'").format(user))
    admin.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(here, user))
    admin.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(here, user))
    (name,) = user._obj
    yield psycopg.conninfo.make_conninfo(server_url, user=name, password="reader")
    admin.execute(sql.SQL("DROP OWNED BY {}").format(user))
    admin.execute(sql.SQL("DROP ROLE {}").format(user))


def test_role_that_may_only_read(reader_dsn, open_store):
    store = open_store(dsn=reader_dsn)
    assert store.load_index().document_count == 3
    assert store.search_candidates(kayak.query(np.ones((1, DIMENSION))), k=1).candidate_doc_ids == ("0",)
    changes = (
        lambda: store.upsert(batch(1)),
        lambda: store.delete(["0"]),
        lambda: store.set_encoder_fingerprint("x"),
    )
    for change in changes:
        with pytest.raises(kayak.StoreAccessError, match="lacks a right"):
            change()
    with pytest.raises(kayak.StoreAccessError, match="lacks a right"):
        open_store(dsn=reader_dsn, table_name="missing")
    with pytest.raises(kayak.StoreAccessError, match="owner"):
        open_store(dsn=reader_dsn, candidates="pooled")
    assert store.load_index().document_count == 3


def test_read_only_session(server_url, open_store, store):
    store.upsert(batch(2))
    reader = open_store(dsn=f"{server_url}&options=-c%20default_transaction_read_only%3Don")
    assert reader.load_index().document_count == 2
    with pytest.raises(kayak.StoreAccessError, match="read-only"):
        reader.upsert(batch(1, value=5.0))
    with pytest.raises(kayak.StoreAccessError, match="read-only"):
        reader.delete(["0"])
    assert store.load_index().document_token_matrix(0)[0, 0] == 1.0


def test_lost_connections_are_replaced(store, admin, schema):
    store.upsert(batch(2))
    assert kill_connections(admin, schema)
    store.upsert(batch(2, value=2.0))
    assert kill_connections(admin, schema)
    assert store.load_index().document_token_matrix(1)[0, 0] == 2.0
    assert kill_connections(admin, schema)
    assert store.stats().document_count == 2


def test_a_lost_connection_of_the_caller(server_url, open_store, admin, schema):
    with psycopg.connect(server_url, application_name=schema) as connection:
        store = open_store(connection=connection)
        store.upsert(batch(2))
        assert kill_connections(admin, schema)
        with pytest.raises(kayak.StoreUnavailableError, match="call again"):
            store.upsert(batch(2, value=2.0))


class LosesConnections:
    """A pool whose connections are cut by the server once they are about to write."""

    def __init__(self, url: str, admin: psycopg.Connection, times: int) -> None:
        self.url, self.admin, self.times, self.lent = url, admin, times, 0

    def connection(self):
        connection = psycopg.connect(self.url)
        self.lent += 1
        if self.times:
            self.times -= 1
            self.admin.execute("SELECT pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))
        return connection


def test_an_upsert_is_tried_once_more(server_url, open_store, admin, store):
    pool = LosesConnections(server_url, admin, 0)
    writer = open_store(pool=pool)
    pool.times, pool.lent = 1, 0
    writer.write_documents([kayak.StoredDocument("a", np.ones((1, DIMENSION), np.float32))])
    assert pool.lent == 2
    assert store.load_index().doc_ids == ("a",)
    pool.times = 2
    with pytest.raises(kayak.StoreUnavailableError, match="call again"):
        writer.stats()
    pool.times = 1
    assert [part.doc_ids for part in writer.documents()] == [("a",)]
    pool.times = 2
    with pytest.raises(kayak.StoreUnavailableError):
        next(writer.documents())


def test_dropped_mid_batch_leaves_the_previous_state(store, admin, schema):
    """The connection ends while the batch is on its way; the retry on another one then writes all of it."""
    store.upsert(batch(400, tokens=200))
    stop = threading.Event()
    killed = []

    def kill() -> None:
        while not stop.is_set() and not killed:
            found = admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE state <> 'idle' "
                "AND query LIKE '%%INSERT INTO%%' AND query LIKE %s AND pid <> pg_backend_pid()",
                (f"%{schema}%",),
            ).fetchall()
            killed.extend(found)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        store.upsert(batch(400, tokens=200, value=2.0))
    finally:
        stop.set()
        thread.join()
    assert killed, "the batch was written before it could be interrupted"
    index = store.load_index()
    assert index.document_count == 400
    assert (index.as_packed_token_matrix() == 2.0).all()


def test_a_reader_that_loses_its_connection(store, admin, schema, monkeypatch):
    monkeypatch.setattr("kayak_pgvector.reading.PAGE_BYTES", 1)
    store.upsert(batch(3))
    export = store.documents(batch_size=1)
    next(export)
    assert kill_connections(admin, schema)
    with pytest.raises(kayak.StoreUnavailableError):
        list(export)


def test_statement_timeout(server_url, open_store, store):
    store.upsert(batch(500, tokens=200))
    hasty = open_store(dsn=f"{server_url}&options=-c%20statement_timeout%3D20")
    with pytest.raises(kayak.StoreUnavailableError, match="statement_timeout"):
        hasty.search_candidates(kayak.query(np.ones((200, DIMENSION))), k=1)


def test_a_lock_that_is_not_given(server_url, open_store, store, admin, schema):
    store.upsert(batch(1))
    hasty = open_store(dsn=f"{server_url}&options=-c%20lock_timeout%3D20")
    with admin.transaction():
        admin.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(schema, "documents")))
        with pytest.raises(kayak.StoreBusyError, match="call again"):
            hasty.upsert(batch(1))


def test_a_table_that_vanishes(store, admin, schema):
    store.upsert(batch(1))
    admin.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, "documents")))
    for use in (store.load_index, store.stats, lambda: store.upsert(batch(1)), lambda: store.delete(["0"])):
        with pytest.raises(kayak.StoreSchemaError, match="open the store again"):
            use()


def test_limits_are_checked_before_writing(store, open_store):
    wide = kayak.documents(["a"], [np.ones((1, 16_001), np.float32)])
    with pytest.raises(kayak.InvalidInputError, match="16000"):
        store.upsert(wide)
    huge = kayak.StoredDocument("a", np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (2**21, 128), (0, 0)))
    with pytest.raises(kayak.InvalidInputError, match="split the document"):
        store.write_documents([huge])
    pooled = open_store(candidates="pooled")
    with pytest.raises(kayak.InvalidInputError, match="at most 2000"):
        pooled.upsert(kayak.documents(["a"], [np.ones((1, 2001), np.float32)]))
    assert store.stats().document_count == 0
    store.write_documents([])
    assert store.stats().document_count == 0


WRITER = """
import os, signal, sys
import kayak, numpy as np
from kayak_pgvector.store import PgvectorLateStore

store = PgvectorLateStore(dsn=sys.argv[1], schema_name=sys.argv[2], table_name="documents")
version = 1
while True:
    version += 1
    store.upsert(kayak.documents([f"{n}" for n in range(200)], [np.full((50, 8), version, np.float32)] * 200))
    print(version, flush=True)
"""


def test_killed_client(server_url, schema, store):
    """After SIGKILL during an upsert, the last acknowledged batch or the next one is there, whole."""
    store.upsert(batch(200, tokens=50))
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, server_url, schema], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()
        store.upsert(
            kayak.documents(["other"], [np.zeros((1, DIMENSION), np.float32)])
        )  # waits for the dead one's locks
        store.delete(["other"])
        index = store.load_index()
        assert index.document_count == 200
        values = np.unique(index.as_packed_token_matrix())
        assert len(values) == 1, f"documents of batches {values} are mixed"
        assert values[0] in (acknowledged, acknowledged + 1)


def test_concurrent_writers_of_the_same_documents(open_store, store):
    """Writers that take the same documents in opposite orders neither deadlock nor mix their batches."""
    ids = [f"{n}" for n in range(60)]
    errors = []

    def write(number: int) -> None:
        mine = open_store()
        order = ids if number % 2 else ids[::-1]
        try:
            for turn in range(8):
                value = float(10 * number + turn)
                mine.upsert(kayak.documents(order, [np.full((4, DIMENSION), value, np.float32)] * len(ids)))
                mine.delete([f"{number}-{turn}", *order[:0]])
        except kayak.KayakError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(np.unique(store.load_index().as_packed_token_matrix())) == 1


def test_concurrent_deletions_and_upserts(open_store, store):
    ids = [f"{n}" for n in range(60)]
    errors = []

    def work(number: int) -> None:
        mine = open_store()
        try:
            for _ in range(8):
                if number % 2:
                    mine.delete(ids[::-1])
                else:
                    mine.upsert(kayak.documents(ids, [np.ones((4, DIMENSION), np.float32)] * len(ids)))
        except kayak.KayakError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.stats().document_count in (0, 60)


def test_stores_opened_at_the_same_time(server_url, schema):
    stores, errors = [], []

    def open_one() -> None:
        try:
            stores.append(PgvectorLateStore(dsn=server_url, schema_name=schema, candidates="pooled"))
        except kayak.KayakError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, store in enumerate(stores):
        with store:
            store.upsert(kayak.documents([f"{number}"], [np.ones((1, DIMENSION), np.float32)]))
            assert store.stats().document_count == number + 1


def test_two_first_writers_of_different_dimensions(open_store):
    first, second = open_store(), open_store()
    first.upsert(batch(1))
    with pytest.raises(kayak.InvalidInputError, match="dimension 5"):
        second.write_documents([kayak.StoredDocument("x", np.ones((1, 5), np.float32))])
    assert second.load_index().doc_ids == ("0",)
    first.delete(["0"])
    assert first.vector_dim() is None
    second.write_documents([kayak.StoredDocument("x", np.ones((1, 5), np.float32))])
    assert first.load_index().vector_dim == 5
