"""Tables: names, what is created, what is refused, and what stays as it was."""

from __future__ import annotations

import kayak
import numpy as np
import psycopg
import pytest
from kayak_pgvector.store import PgvectorLateStore
from psycopg import sql

DIMENSION = 4
HOSTILE_NAMES = (
    'quote"s',
    "semi; DROP TABLE x; --",
    "100%s %(x)s %b",
    "naïve 表",
    "dot.ted",
    "{documents}",
    "UPPER lower",
    "\\",
    "'",
)


def batch(*ids: str, text: str | None = None) -> kayak.LateDocuments:
    return kayak.documents(list(ids), [np.ones((2, DIMENSION), np.float32)] * len(ids), texts=[text] * len(ids))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("candidates", ["exact", "pooled"])
def test_hostile_table_names(open_store, name, candidates):
    store = open_store(table_name=name, candidates=candidates)
    store.upsert(batch("a", "b", text="t"), metadata=[{"k%s": 1}, None])
    assert store.load_index(include_text=True, where={"k%s": 1}).doc_texts == ("t",)
    assert store.search_candidates(kayak.query([[1.0] * DIMENSION]), k=1, where={"k%s": 1}).hits[0].doc_id == "a"
    store.delete(["a"])
    store.set_encoder_fingerprint("%s")
    assert store.stats().document_count == 1
    store.close()
    assert open_store(table_name=name, candidates=candidates).load_index().doc_ids == ("b",)


def test_hostile_schema_name(admin, server_url):
    name = 'we"ird %s schema'
    admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    try:
        with PgvectorLateStore(dsn=server_url, schema_name=name, candidates="pooled") as store:
            store.upsert(batch("a"))
            assert store.load_index().doc_ids == ("a",)
    finally:
        admin.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def test_ids_and_texts_that_postgres_cannot_hold(store, open_store):
    ids = [
        "\x00",
        "nul\x00inside",
        "\\",
        "\\0",
        "\\" + "0" * 64,
        "x" * 100_000,
        "x" * 99_999,
        "长" * 342,
        "长" * 341,
        "a",
    ]
    texts = ["nul\x00", "\x00", "", None, "\\x00", "plain", "a\x01b", "\x01\x00", "é\x00", "z"]
    store.upsert(kayak.documents(ids, [np.full((1, 4), n, np.float32) for n in range(len(ids))], texts=texts))
    loaded = store.load_index(include_text=True)
    assert loaded.doc_ids == tuple(ids)
    assert loaded.doc_texts == tuple(texts)
    for number, doc_id in enumerate(ids):
        assert store.load_index(doc_ids=[doc_id]).document_token_matrix(0)[0, 0] == number
    found = store.search_candidates(kayak.query([[1.0] * 4]), k=20)
    assert set(found.candidate_doc_ids) == set(ids)
    store.delete(ids[:-1])
    assert store.load_index().doc_ids == ("a",)


def test_other_programs_can_read_the_table(store, admin, schema):
    store.upsert(batch("a", text="hello"), metadata=[{"topic": "wings"}])
    table = sql.Identifier(schema, "documents")
    query = sql.SQL(
        "SELECT doc_id, document_text, metadata ->> 'topic', token_count, cardinality(token_vectors) FROM {}"
    )
    assert admin.execute(query.format(table)).fetchone() == ("a", "hello", "wings", 2, 2)


def test_nothing_is_created_where_all_is_there(store, admin, schema, open_store):
    tables = "SELECT oid, relname FROM pg_class WHERE relnamespace = %s::regnamespace ORDER BY oid"
    before = admin.execute(tables, (schema,)).fetchall()
    assert {name for _, name in before} >= {"documents", "documents_kayak"}
    open_store(ensure_extension=False).upsert(batch("a"))
    assert admin.execute(tables, (schema,)).fetchall() == before


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("DROP TABLE documents_kayak", 'documents_kayak" is missing'),
        ("DROP TABLE documents", 'documents" is missing'),
        ("ALTER TABLE documents DROP COLUMN mean_vector", "has no column mean_vector"),
        ("ALTER TABLE documents ALTER token_count TYPE bigint", "token_count .* is bigint, expected integer"),
        ("ALTER TABLE documents ALTER token_vectors TYPE text USING ''", "is text, expected vector"),
        ("ALTER TABLE documents ADD owner text NOT NULL", "'owner' .* must be filled"),
        ("ALTER TABLE documents DROP CONSTRAINT documents_doc_id_key", "no unique index"),
        ("ALTER TABLE documents_kayak RENAME format TO version", "has no column format"),
        ("DELETE FROM documents_kayak", "lost its row"),
        ("ALTER TABLE documents RENAME TO x; CREATE VIEW documents AS SELECT * FROM x", "is not a table"),
    ],
)
def test_other_tables_are_refused_and_left_alone(server_url, schema, store, open_store, change, difference):
    with psycopg.connect(server_url, autocommit=True, options=f"-c search_path={schema},public") as connection:
        connection.execute(change)
        columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = %s"
        before = connection.execute(columns, (schema,)).fetchall()
        with pytest.raises(kayak.StoreSchemaError, match=difference):
            open_store()
        assert connection.execute(columns, (schema,)).fetchall() == before


def test_columns_of_ones_own_are_welcome(open_store, admin, schema, store):
    statement = "ALTER TABLE {} ADD seen timestamptz DEFAULT now(), ADD note text"
    admin.execute(sql.SQL(statement).format(sql.Identifier(schema, "documents")))
    again = open_store()
    again.upsert(batch("a"))
    assert again.load_index().doc_ids == ("a",)


def test_a_later_format(open_store, admin, schema, store):
    admin.execute(sql.SQL("UPDATE {} SET format = 2").format(sql.Identifier(schema, "documents_kayak")))
    with pytest.raises(kayak.StoreVersionError, match="format 2"):
        open_store()


def test_missing_schema(open_store):
    with pytest.raises(kayak.StoreSchemaError, match="CREATE SCHEMA"):
        open_store(schema_name="kayak_missing")


def test_index_name_taken(open_store, admin, schema):
    admin.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(schema, f"documents_hnsw_{DIMENSION}")))
    store = open_store(candidates="pooled")
    with pytest.raises(kayak.StoreSchemaError, match="not a valid HNSW index"):
        store.upsert(batch("a"))


def test_foreign_vectors_are_noticed(store, admin, schema):
    store.upsert(batch("a", "b"))
    table = sql.Identifier(schema, "documents")
    for array in (
        "'{}'",
        "ARRAY['[1,2]'::vector, '[1,2,3,4,5,6]'::vector]",
        "ARRAY['[1,2]'::vector]",
        "ARRAY[NULL::vector, NULL]",
    ):
        admin.execute(
            sql.SQL("UPDATE {} SET token_vectors = {}").format(table, sql.SQL(array)) + sql.SQL(" WHERE doc_id = 'a'")
        )
        with pytest.raises(kayak.StoreCorruptError, match="did not write"):
            store.load_index()


class TestExtension:
    @pytest.fixture
    def bare_dsn(self, server_url, admin, schema):
        """A database of its own, without extensions."""
        name = f"d_{schema}"
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def test_is_created(self, bare_dsn):
        with pytest.raises(kayak.StoreSchemaError, match="CREATE EXTENSION vector"):
            PgvectorLateStore(dsn=bare_dsn, ensure_extension=False)
        with PgvectorLateStore(dsn=bare_dsn) as store:
            store.upsert(batch("a"))
            assert store.load_index().doc_ids == ("a",)

    def test_in_a_schema_that_is_not_on_the_search_path(self, bare_dsn):
        with psycopg.connect(bare_dsn) as connection:
            connection.execute("CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions")
        for candidates in ("exact", "pooled"):
            with PgvectorLateStore(dsn=bare_dsn, candidates=candidates) as store:
                store.upsert(batch("a"))
                assert store.search_candidates(kayak.query([[1.0] * DIMENSION]), k=1).candidate_doc_ids == ("a",)
                assert store.load_index().doc_ids == ("a",)

    def test_too_old_for_pooled_candidates(self, bare_dsn):
        with psycopg.connect(bare_dsn) as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
        with pytest.raises(kayak.StoreSchemaError, match=r"needs pgvector 0\.8\.0, the database has 0\.7\.4"):
            PgvectorLateStore(dsn=bare_dsn, candidates="pooled")

    def test_role_that_may_not_create_it(self, bare_dsn, admin, schema):
        user = sql.Identifier(f"u_{schema}")
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(user))
        try:
            dsn = psycopg.conninfo.make_conninfo(bare_dsn, user=f"u_{schema}", password="x")
            with pytest.raises(kayak.StoreAccessError, match="lacks a right"):
                PgvectorLateStore(dsn=dsn)
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(user))

    def test_other_encoding_of_the_database(self, server_url, admin, schema):
        name = sql.Identifier(f"l_{schema}")
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").format(name))
        try:
            with pytest.raises(kayak.StoreSchemaError, match="LATIN1"):
                PgvectorLateStore(dsn=psycopg.conninfo.make_conninfo(server_url, dbname=f"l_{schema}"))
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_fingerprint_that_postgres_cannot_hold(store):
    for fingerprint, complaint in (("nul\x00", "NUL"), ("\ud800", "surrogate")):
        with pytest.raises(kayak.InvalidInputError, match=complaint):
            store.set_encoder_fingerprint(fingerprint)


def test_a_new_table_has_another_generation(open_store, admin, schema):
    first = open_store()
    first.upsert(batch("a"))
    before = first.generation()
    first.close()
    for name in ("documents", "documents_kayak"):
        admin.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, name)))
    second = open_store()
    second.upsert(batch("b"))
    assert second.generation() != before
    again = second.generation()
    second.delete(["unknown"])
    assert second.generation() == again
