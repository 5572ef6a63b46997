"""The store as its users meet it: paths and connections, tables that exist already, maintenance, native search."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import kayak
import lancedb
import numpy as np
import pyarrow as pa
import pytest
from kayak_lancedb import plugin
from kayak_lancedb.schema import FORMAT_KEY, read_state
from kayak_lancedb.store import LanceDBLateStore

DIM = 16


def unit_documents(count, *, start=0, tokens=8, seed=0):
    generator = np.random.default_rng(seed + start)
    vectors = generator.standard_normal((count, tokens, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    ids = [f"doc-{number}" for number in range(start, start + count)]
    return kayak.documents(ids, vectors, texts=[f"text of {doc_id}" for doc_id in ids])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "late.lancedb"


@pytest.fixture
def store(path):
    with LanceDBLateStore(path=path) as store:
        yield store


def test_the_plugin_lists_the_kind_without_importing_the_client():
    code = (
        "import sys, kayak_lancedb.plugin as p\n"
        "spec, = p.kayak_stores()\n"
        "assert spec.names == ('lancedb', 'lance') and spec.summary and spec.requirements\n"
        "assert not {'lancedb', 'pyarrow'} & set(sys.modules), 'listing kinds imports the client'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_factory_opens_a_store(path):
    (spec,) = plugin.kayak_stores()
    with spec.factory(path=str(path), table_name="notes.v-1") as store:
        store.upsert(unit_documents(2))
        assert store.capabilities().kind == "lancedb"
    assert [entry.name for entry in path.glob("*.lance")] == ["notes.v-1.lance"]


def test_a_connection_stays_the_callers(path):
    connection = lancedb.connect(path)
    with LanceDBLateStore(connection=connection) as store:
        store.upsert(unit_documents(3))
    assert connection.open_table("late_documents").count_rows() == 3
    with LanceDBLateStore(connection=connection, table_name="other") as other:
        other.upsert(unit_documents(1))
        assert other.stats().document_count == 1
    assert LanceDBLateStore(path=path).stats().document_count == 3


def test_a_database_in_memory_is_not_a_folder():
    with LanceDBLateStore(connection=lancedb.connect("memory://")) as store:
        store.upsert(unit_documents(2))
        assert store.stats().document_count == 2
        assert store.stats().storage_byte_size > 2 * 8 * DIM * 4
        report = store.compact()
        assert (report.reclaimed_byte_size, report.storage_byte_size) == (None, None)
    with LanceDBLateStore(path="memory://") as store:
        store.upsert(unit_documents(1))
        assert len(store.load_index().doc_ids) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, kayak.InvalidInputError, "neither"),
        ({"path": "x", "connection": object()}, kayak.InvalidInputError, "not both"),
        ({"path": 7}, kayak.InvalidTypeError, "path"),
        ({"path": ""}, kayak.InvalidTypeError, "path"),
        ({"path": "a\0b"}, kayak.InvalidInputError, "NUL"),
        ({"path": "db://cloud"}, kayak.InvalidInputError, "Cloud"),
        ({"connection": object()}, kayak.InvalidTypeError, "lancedb.connect"),
        ({"path": "x", "table_name": "a b"}, kayak.InvalidInputError, "letters"),
        ({"path": "x", "table_name": "../up"}, kayak.InvalidInputError, "letters"),
        ({"path": "x", "table_name": "t'; DROP TABLE t; --"}, kayak.InvalidInputError, "letters"),
        ({"path": "x", "table_name": ".."}, kayak.InvalidInputError, "letters"),
        ({"path": "x", "table_name": ""}, kayak.InvalidInputError, "letters"),
        ({"path": "x", "table_name": 3}, kayak.InvalidTypeError, "table_name"),
        ({"path": "x", "storage_options": {"timeout": 3}}, kayak.InvalidTypeError, "strings"),
        ({"path": "x", "storage_options": "region"}, kayak.InvalidTypeError, "strings"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(arguments, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        LanceDBLateStore(**arguments)
    assert not list(tmp_path.iterdir())


def test_storage_options_belong_to_a_path(path):
    with LanceDBLateStore(path=path, storage_options={"timeout": "10s"}) as store:
        store.upsert(unit_documents(1))
    with pytest.raises(kayak.InvalidInputError, match="storage_options"):
        LanceDBLateStore(connection=lancedb.connect(path), storage_options={})


def test_a_missing_path_is_an_empty_store_until_something_is_written(path):
    with LanceDBLateStore(path=path / "deep" / "er") as store:
        assert (store.stats().document_count, store.vector_dim()) == (0, None)
        store.delete(["nobody"])
        store.drop_index()
        assert store.compact().reclaimed_byte_size == 0
        assert store.search_candidates(kayak.query([[1.0]]), k=1).hits == ()
        assert list(store.read_metadata(kayak.StoreSelection())) == []
    assert not list((path / "deep" / "er").iterdir())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(kayak.StorePathError, match="folder"):
            LanceDBLateStore(path=wrong)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_foreign_table_is_refused_and_left_alone(path):
    database = lancedb.connect(path)
    table = database.create_table("late_documents", pa.table({"id": ["a"], "vector": [[1.0, 2.0]]}))
    version = table.version
    with pytest.raises(kayak.StoreSchemaError, match=r"not made by Kayak.*vector: "):
        LanceDBLateStore(path=path)
    with pytest.raises(kayak.StoreSchemaError):
        LanceDBLateStore(connection=database)
    assert (database.open_table("late_documents").version, table.count_rows()) == (version, 1)


def test_every_difference_of_a_changed_table_is_named(path, store):
    store.upsert(unit_documents(2))
    table = lancedb.connect(path).open_table("late_documents")
    table.add_columns(pa.schema([pa.field("stars", pa.int64())]))
    table.drop_columns(["text"])
    table.alter_columns({"path": "vector_count", "data_type": pa.int64()})
    with pytest.raises(kayak.StoreSchemaError) as caught:
        LanceDBLateStore(path=path)
    for words in ("'text' is missing", "'vector_count' is int64, expected int32", "'stars' is not known"):
        assert words in str(caught.value)
    with pytest.raises(kayak.StoreSchemaError):
        store.upsert(unit_documents(1))
    assert table.count_rows() == 2


def test_vectors_of_another_type_and_a_missing_key_are_named():
    facts = {FORMAT_KEY: "1"}
    schema = pa.schema(
        [pa.field("id", pa.string(), metadata=facts), pa.field("vectors", pa.list_(pa.list_(pa.float64(), 3)))]
    )
    with pytest.raises(kayak.StoreSchemaError, match=r"'vectors' is .*double.*lacks the metadata"):
        read_state(schema, "the table")
    with pytest.raises(kayak.StoreSchemaError, match="not made by Kayak"):
        read_state(pa.schema([]), "the table")


def test_a_newer_format_is_refused(path, store):
    store.upsert(unit_documents(1))
    table = lancedb.connect(path).open_table("late_documents")
    table.update_field_metadata({"path": "id", "metadata": {FORMAT_KEY: "2"}})
    with pytest.raises(kayak.StoreVersionError, match="upgrade kayak-lancedb"):
        LanceDBLateStore(path=path)


def test_documents_without_vectors_are_reported_as_damage(path, store):
    store.upsert(unit_documents(2))
    table = lancedb.connect(path).open_table("late_documents")
    row = {"id": "stray", "text": None, "metadata": None, "vector_count": 0, "vectors": None}
    table.add(pa.Table.from_pylist([row], schema=table.schema))
    with pytest.raises(kayak.StoreCorruptError, match="stray"):
        store.load_index()
    store.delete(["stray"])
    assert store.load_index().document_count == 2


def test_another_dimension_is_refused_naming_both(store):
    store.upsert(unit_documents(2))
    with pytest.raises(kayak.InvalidInputError, match=r"7.*16"):
        store.upsert(kayak.documents(["x"], [np.ones((1, 7))]))
    with pytest.raises(kayak.InvalidInputError, match=r"7.*16"):
        store.search_candidates(kayak.query(np.ones((1, 7))), k=1)
    assert store.stats().document_count == 2


def test_two_handles_see_each_others_writes(path, store):
    other = LanceDBLateStore(connection=lancedb.connect(path))
    store.upsert(unit_documents(3))
    assert other.load_index().document_count == 3
    generation = store.generation()
    assert other.generation() == generation
    other.upsert(kayak.documents(["doc-1"], [np.ones((2, DIM))]), metadata=[{"new": True}])
    other.set_encoder_fingerprint("encoder 'α'")
    assert store.generation() != generation
    assert store.encoder_fingerprint() == "encoder 'α'"
    assert store.load_index(where={"new": True}).doc_ids == ("doc-1",)
    assert store.stats().document_count == 3
    store.delete(["doc-1"])
    assert sorted(other.load_index().doc_ids) == ["doc-0", "doc-2"]


def test_the_fingerprint_may_come_before_the_first_document(path, store):
    store.set_encoder_fingerprint("first")
    generation = store.generation()
    store.set_encoder_fingerprint("first")
    assert store.generation() == generation
    assert (store.stats().document_count, store.stats().vector_dim) == (0, None)
    assert list(store.documents()) == []
    with LanceDBLateStore(path=path) as other:
        assert other.encoder_fingerprint() == "first"
        other.upsert(unit_documents(2))
    assert store.encoder_fingerprint() == "first"
    with pytest.raises(kayak.InvalidInputError, match="surrogate"):
        store.set_encoder_fingerprint("\ud800")


def test_a_table_made_again_has_other_generations(path, store):
    store.upsert(unit_documents(2))
    before = store.generation()
    lancedb.connect(path).drop_table("late_documents")
    with LanceDBLateStore(path=path) as again:
        again.upsert(unit_documents(2))
        assert again.generation().rpartition(":")[2] == before.rpartition(":")[2]
        assert again.generation() != before


def test_a_dropped_table_is_reported(path, store):
    store.upsert(unit_documents(2))
    lancedb.connect(path).drop_table("late_documents")
    with pytest.raises(kayak.StoreError, match="late_documents"):
        store.load_index()


def test_an_unknown_id_that_cannot_be_stored_is_ignored_by_delete(store):
    store.upsert(unit_documents(2))
    store.delete(["\ud800", "doc-0"])
    store.delete(["\ud800"])
    assert store.load_index().doc_ids == ("doc-1",)


def test_large_upserts_are_one_commit_of_several_batches(path, store, monkeypatch):
    monkeypatch.setattr("kayak_lancedb.store.WRITE_BYTES", 4096)
    generation_steps = []
    store.upsert(unit_documents(1))
    for _ in range(2):
        before = int(store.generation().rpartition(":")[2])
        store.upsert(unit_documents(100))
        generation_steps.append(int(store.generation().rpartition(":")[2]) - before)
    assert generation_steps == [1, 1]
    expected = unit_documents(100)
    index = store.load_index(doc_ids=expected.doc_ids, include_text=True)
    assert index.doc_texts == expected.texts
    np.testing.assert_array_equal(index.as_packed_token_matrix(), expected.pack().as_packed_token_matrix())


def test_reading_is_streamed_in_batches_of_bounded_size(store, monkeypatch):
    monkeypatch.setattr("kayak_lancedb.reading.READ_BYTES", 20_000)
    documents = unit_documents(200, tokens=16)
    store.upsert(documents)
    index = store.load_index()
    assert len(index.slices) > 5
    assert max(part.byte_size for part in index.slices) < 40_000
    np.testing.assert_array_equal(
        index.select(documents.doc_ids).as_packed_token_matrix(), documents.pack().as_packed_token_matrix()
    )
    assert all(not part.block.vectors.flags.writeable for part in index.slices)
    assert all(not part.block.vectors.flags.owndata for part in index.slices)


def test_an_export_that_goes_on_after_close_stops(store, monkeypatch):
    monkeypatch.setattr("kayak_lancedb.reading.READ_BYTES", 20_000)
    store.upsert(unit_documents(200, tokens=16))
    batches = store.documents(batch_size=10)
    next(batches)
    store.close()
    with pytest.raises(kayak.StoreClosedError):
        list(batches)


class TestMaintenance:
    def test_compaction_keeps_everything_and_gives_space_back(self, path, store):
        for number in range(12):
            store.upsert(unit_documents(20, seed=number * 1000), metadata=[{"round": number}] * 20)
        store.delete(["doc-3"])
        store.set_encoder_fingerprint("kept")
        index = store.load_index(include_text=True)
        matrices = {doc_id: index.document_token_matrix(n).copy() for n, doc_id in enumerate(index.doc_ids)}
        report = store.compact(keep=timedelta(0))
        assert report.reclaimed_byte_size > 0
        assert report.storage_byte_size == store.stats().storage_byte_size
        after = store.load_index()
        assert set(after.doc_ids) == set(matrices)
        for number, doc_id in enumerate(after.doc_ids):
            np.testing.assert_array_equal(after.document_token_matrix(number), matrices[doc_id])
            np.testing.assert_array_equal(index.document_token_matrix(index.doc_ids.index(doc_id)), matrices[doc_id])
        assert store.encoder_fingerprint() == "kept"
        assert len(store.load_index(where={"round": 11}).doc_ids) == 19
        table = lancedb.connect(path).open_table("late_documents")
        assert [list(i.columns) for i in table.list_indices()] == [["id"]]
        assert table.stats()["fragment_stats"]["num_fragments"] == 1

    def test_the_index_on_ids_changes_no_answer(self, store):
        store.upsert(unit_documents(50))
        store.compact()
        store.upsert(unit_documents(30, start=40, seed=5))
        store.delete([f"doc-{number}" for number in range(0, 70, 7)])
        store.compact()
        store.upsert(unit_documents(10, start=60, seed=9), metadata=[{"late": True}] * 10)
        expected = {f"doc-{n}" for n in range(70)} - {f"doc-{n}" for n in range(0, 60, 7)}
        assert set(store.load_index().doc_ids) == expected
        for doc_id in sorted(expected):
            (batch,) = store.documents(doc_ids=[doc_id])
            assert batch.doc_ids == (doc_id,)
        wanted = ["doc-65", "doc-1", "doc-63", "doc-0"]
        assert store.load_index(doc_ids=wanted).doc_ids == ("doc-65", "doc-1", "doc-63")
        assert store.stats().document_count == len(expected)

    def test_recent_versions_stay_for_readers_in_the_middle(self, path, store, monkeypatch):
        monkeypatch.setattr("kayak_lancedb.reading.READ_BYTES", 20_000)
        store.upsert(unit_documents(200, tokens=16))
        reading = LanceDBLateStore(path=path).documents(batch_size=10)
        first = next(reading)
        store.delete(list(first.doc_ids))
        store.compact()
        assert sum(batch.document_count for batch in reading) == 190

    @pytest.mark.parametrize(
        ("keep", "error"), [(3600, kayak.InvalidTypeError), (timedelta(-1), kayak.InvalidInputError)]
    )
    def test_wrong_ages_are_refused(self, store, keep, error):
        with pytest.raises(error):
            store.compact(keep=keep)


class TestNativeSearch:
    QUERY = unit_documents(1, seed=77).token_matrices[0]

    def test_without_an_index_it_is_exact(self, store):
        store.upsert(unit_documents(60))
        query = kayak.query(self.QUERY)
        plan = kayak.store_native_search_plan(5, 20)
        found = kayak.search_with_plan(query, store, plan)
        expected = kayak.search(query, store.load_index(), k=5)
        assert [hit.doc_id for hit in found.hits] == [hit.doc_id for hit in expected]
        assert found.candidate_stage.profile.notes == ()
        assert found.candidate_stage.profile.output_hit_count == 20
        assert found.candidate_stage.profile.bytes_read > 0

    def test_equal_scores_come_in_the_order_of_ids(self, store):
        store.upsert(kayak.documents(["b", "c", "a"], np.ones((3, 1, 2))))
        assert store.search_candidates(kayak.query([[1.0, 0.0]]), k=3).candidate_doc_ids == ("a", "b", "c")

    @pytest.mark.parametrize("index_type", ["ivf_rq", "ivf_flat"])
    def test_an_index_makes_it_approximate_and_says_so(self, path, store, index_type):
        store.upsert(unit_documents(200), metadata=[{"even": n % 2 == 0} for n in range(200)])
        assert store.capabilities().native_candidates == "exact"
        store.create_index(index_type=index_type, num_partitions=4)
        assert store.capabilities().native_candidates == "approximate"
        with LanceDBLateStore(path=path) as other:
            assert other.capabilities().native_candidates == "approximate"
        query = kayak.query(self.QUERY)
        found = store.search_candidates(query, k=50)
        assert len(set(found.candidate_doc_ids)) == 50
        assert found.profile.notes[0].startswith("approximate")
        exact = {hit.doc_id for hit in kayak.search(query, store.load_index(), k=10)}
        assert len(exact & set(found.candidate_doc_ids)) >= 5
        even = store.search_candidates(query, k=40, where={"even": True})
        assert all(int(doc_id.removeprefix("doc-")) % 2 == 0 for doc_id in even.candidate_doc_ids)
        strongest = kayak.documents(["new"], [self.QUERY])
        store.upsert(strongest)
        assert store.search_candidates(query, k=1).candidate_doc_ids == ("new",)
        store.compact()
        assert store.search_candidates(query, k=1).candidate_doc_ids == ("new",)
        store.drop_index()
        assert store.capabilities().native_candidates == "exact"
        assert store.search_candidates(query, k=1).profile.notes == ()

    def test_an_index_that_finds_too_few_is_not_trusted(self, store):
        store.upsert(unit_documents(100))
        store.create_index(index_type="ivf_flat", num_partitions=4)
        found = store.search_candidates(kayak.query(self.QUERY), k=150)
        assert set(found.candidate_doc_ids) == {f"doc-{number}" for number in range(100)}
        assert found.profile.notes[0].startswith("exact scan")
        index = store.load_index()
        scores = index.maxsim(kayak.query(self.QUERY))
        assert found.candidate_doc_ids[0] == index.doc_ids[int(scores.values.argmax())]

    def test_too_few_vectors_and_wrong_arguments_are_refused(self, store):
        with pytest.raises(kayak.InvalidInputError, match="256"):
            store.create_index()
        store.upsert(unit_documents(3))
        with pytest.raises(kayak.InvalidInputError, match=r"256.*24"):
            store.create_index()
        for arguments, error in (
            ({"index_type": "hnsw"}, kayak.InvalidInputError),
            ({"num_partitions": 0}, kayak.InvalidInputError),
            ({"num_partitions": 2.5}, kayak.InvalidTypeError),
            ({"num_partitions": True}, kayak.InvalidTypeError),
        ):
            with pytest.raises(error):
                store.create_index(**arguments)
        assert store.capabilities().native_candidates == "exact"

    def test_scores_beyond_float32_are_refused(self, store):
        store.upsert(kayak.documents(["a"], [np.full((1, 4), 3e38)]))
        with pytest.raises(kayak.ScoreOverflowError, match="unit length"):
            store.search_candidates(kayak.query(np.full((1, 4), 3e38)), k=1)

    def test_closed_stores_do_not_maintain(self, store):
        store.close()
        for use in (store.compact, store.create_index, store.drop_index):
            with pytest.raises(kayak.StoreClosedError):
                use()
