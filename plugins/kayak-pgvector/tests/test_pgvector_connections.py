"""Connections: by URL, a pool, and a connection of the caller's, which stays as it was."""

from __future__ import annotations

import threading

import kayak
import numpy as np
import psycopg
import pytest
from kayak_pgvector.store import PgvectorLateStore
from psycopg.adapt import Dumper, Loader
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool


def batch(*ids: str, value: float = 1.0) -> kayak.LateDocuments:
    return kayak.documents(list(ids), [np.full((2, 4), value, np.float32)] * len(ids))


class OddDumper(Dumper):
    def dump(self, obj):
        return b"odd"


class OddLoader(Loader):
    def load(self, data):
        raise AssertionError("the store used the caller's loader")


class TestOwnConnection:
    @pytest.fixture
    def connection(self, server_url):
        with psycopg.connect(server_url) as connection:
            yield connection

    def test_stays_open_and_idle(self, open_store, connection):
        store = open_store(connection=connection)
        store.upsert(batch("a"))
        store.load_index()
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        store.close()
        assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_configuration_is_neither_used_nor_changed(self, server_url, open_store):
        with psycopg.connect(server_url, autocommit=True, row_factory=dict_row) as connection:
            for kind in (str, int, list, np.ndarray):
                connection.adapters.register_dumper(kind, OddDumper)
            for name in ("int8", "text", "bytea", "float8", "jsonb", "uuid", "int4"):
                connection.adapters.register_loader(name, OddLoader)
            connection.execute("SELECT '[1]'::vector")  # loads the extension, which adds its settings
            connection.execute("SET hnsw.ef_search = 77")
            before = connection.execute("SELECT name::varchar, setting::varchar FROM pg_settings").fetchall()
            store = open_store(connection=connection, candidates="pooled")
            store.upsert(batch("a", "b"), metadata=[{"n": 1}, None])
            assert store.load_index(where={"n": 1}).doc_ids == ("a",)
            assert store.search_candidates(kayak.query([[1.0] * 4]), k=2).candidate_doc_ids == ("a", "b")
            assert connection.execute("SELECT name::varchar, setting::varchar FROM pg_settings").fetchall() == before
            assert connection.row_factory is dict_row
            assert connection.autocommit
            assert connection.adapters.get_dumper(np.ndarray, psycopg.adapt.PyFormat.AUTO) is OddDumper
            assert connection.adapters.get_loader(20, psycopg.pq.Format.TEXT) is OddLoader

    def test_writes_belong_to_the_callers_transaction(self, open_store, connection, store):
        mine = open_store(connection=connection)
        with connection.transaction(force_rollback=True):
            mine.upsert(batch("a"))
            assert mine.load_index().doc_ids == ("a",)
            assert store.stats().document_count == 0
        assert mine.stats().document_count == 0
        with connection.transaction():
            mine.upsert(batch("b"))
        assert store.load_index().doc_ids == ("b",)

    def test_search_leaves_settings_of_the_callers_transaction(self, open_store, connection):
        mine = open_store(connection=connection)
        mine.upsert(batch("a"))
        with connection.transaction():
            connection.execute("SET LOCAL jit = on")
            mine.search_candidates(kayak.query([[1.0] * 4]), k=1)
            assert connection.execute("SHOW jit").fetchone() == ("on",)

    def test_can_be_used_while_an_export_is_open(self, open_store, connection):
        source = open_store(connection=connection)
        target = open_store(connection=connection, table_name="target")
        source.upsert(batch("a", "b", "c"))
        assert kayak.copy_store(source, target, batch_size=1, show_progress=False).copied == 3
        assert target.load_index().doc_ids == ("a", "b", "c")

    def test_two_stores_in_two_threads_take_turns(self, open_store, connection):
        stores = [open_store(connection=connection, table_name=name) for name in ("one", "two")]

        def fill(store):
            for number in range(10):
                store.upsert(batch(f"{number}"))
                assert store.load_index().document_count == number + 1

        threads = [threading.Thread(target=fill, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.stats().document_count for store in stores] == [10, 10]

    def test_failed_transaction(self, open_store, connection):
        store = open_store(connection=connection)
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(kayak.StoreError, match="Roll it back"):
            store.stats()
        connection.rollback()
        assert store.stats().document_count == 0

    def test_other_encoding(self, server_url, open_store):
        with (
            psycopg.connect(server_url, client_encoding="latin1") as connection,
            pytest.raises(kayak.InvalidInputError, match="client_encoding"),
        ):
            open_store(connection=connection)

    def test_closed(self, open_store, connection):
        store = open_store(connection=connection)
        connection.close()
        with pytest.raises(kayak.StoreUnavailableError):
            store.stats()


class TestPool:
    def test_is_left_open(self, server_url, open_store):
        with ConnectionPool(server_url, min_size=1, max_size=2, open=True) as pool:
            store = open_store(pool=pool)
            store.upsert(batch("a"))
            assert store.load_index().doc_ids == ("a",)
            store.close()
            with pool.connection() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)

    def test_exhausted(self, server_url, open_store):
        with ConnectionPool(server_url, min_size=1, max_size=1, open=True, timeout=0.2) as pool:
            store = open_store(pool=pool)
            store.upsert(batch("a", "b"))
            export = store.documents(batch_size=1)
            next(export)
            with pytest.raises(kayak.StoreBusyError, match="Enlarge the pool"):
                store.stats()
            export.close()
            assert store.stats().document_count == 2


def test_an_export_is_one_snapshot(store):
    store.upsert(batch("a", "b"))
    export = store.documents(batch_size=1)
    first = next(export)
    store.upsert(batch("b", value=2.0))
    store.delete(["a"])
    rest = list(export)
    assert [first.doc_ids, *(part.doc_ids for part in rest)] == [("a",), ("b",)]
    assert rest[0].token_matrices[0][0, 0] == 1.0
    assert store.load_index().document_token_matrix(0)[0, 0] == 2.0


def test_an_abandoned_export_gives_its_connection_back(store, admin, schema):
    store.upsert(batch("a", "b"))
    export = store.documents(batch_size=1)
    next(export)
    export.close()
    open_transactions = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE %s AND query LIKE %s"
    assert admin.execute(open_transactions, ("idle in%", f"%{schema}%")).fetchone() == (0,)


def test_no_connection_stays_after_close(server_url, admin, schema):
    name = schema[-20:]
    store = PgvectorLateStore(dsn=f"{server_url}&application_name={name}", schema_name=schema)
    store.upsert(batch("a"))
    store.close()
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    for _ in range(1000):  # the server notices a moment later
        if admin.execute(count, (name,)).fetchone() == (0,):
            return
    pytest.fail("the store left a connection open")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, kayak.InvalidInputError, "none of them"),
        ({"dsn": "", "pool": object()}, kayak.InvalidInputError, "dsn and pool"),
        ({"dsn": "no equals sign"}, kayak.InvalidInputError, "no connection string"),
        ({"dsn": 5}, kayak.InvalidTypeError, "must be a string"),
        ({"connection": "postgresql://"}, kayak.InvalidTypeError, "psycopg.Connection"),
        ({"pool": "postgresql://"}, kayak.InvalidTypeError, "ConnectionPool"),
        ({"dsn": "", "table_name": ""}, kayak.InvalidInputError, "needs characters"),
        ({"dsn": "", "table_name": None}, kayak.InvalidTypeError, "table_name"),
        ({"dsn": "", "table_name": "x" * 48}, kayak.InvalidInputError, "at most 47"),
        ({"dsn": "", "table_name": "nul\x00"}, kayak.InvalidInputError, "NUL"),
        ({"dsn": "", "table_name": "\ud800"}, kayak.InvalidInputError, "surrogate"),
        ({"dsn": "", "schema_name": "é" * 32}, kayak.InvalidInputError, "64 bytes"),
        ({"dsn": "", "candidates": "fast"}, kayak.InvalidInputError, "'exact' or 'pooled'"),
        ({"dsn": "", "ensure_extension": 1}, kayak.InvalidTypeError, "True or False"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        PgvectorLateStore(**arguments)


def test_messages_and_repr_hold_no_password(server_url, schema, store):
    assert "kayak@" not in repr(store)
    assert schema in repr(store)
    with pytest.raises(kayak.InvalidInputError) as caught:
        PgvectorLateStore(dsn="host=x password=secret oops")
    assert "secret" not in str(caught.value)
