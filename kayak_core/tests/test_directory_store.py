"""The directory store as its users see it: writing, reading, order, selections, export, stats and options."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest
from kayak.errors import (
    EmptySelectionError,
    FilterError,
    InvalidInputError,
    InvalidTypeError,
    StoreBusyError,
    StoreClosedError,
    StorePathError,
    UnsupportedOperationError,
)


def make(
    ids: list[str], *, dim: int = 8, seed: int = 0, texts: list[str | None] | None = None, scale: float = 1.0
) -> kayak.LateDocuments:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 6, len(ids))
    return kayak.documents(ids, [scale * rng.standard_normal((n, dim)).astype(np.float32) for n in counts], texts=texts)


def contents(store: kayak.LateStore, **selection: Any) -> list[tuple[str, bytes, str | None, dict[str, Any]]]:
    """Everything that a store exports, as plain values."""
    rows = []
    for batch in store.documents(**selection):
        texts = batch.texts or (None,) * len(batch)
        assert batch.metadata is not None
        for row in zip(batch.doc_ids, batch.token_matrices, texts, batch.metadata, strict=True):
            rows.append((row[0], row[1].tobytes(), row[2], dict(row[3])))
    return rows


def expected(documents: kayak.LateDocuments, metadata: list[dict[str, Any]] | None = None) -> list[Any]:
    texts = documents.texts or (None,) * len(documents)
    rows = metadata or [{}] * len(documents)
    return [
        (doc_id, matrix.tobytes(), text, row)
        for doc_id, matrix, text, row in zip(documents.doc_ids, documents.token_matrices, texts, rows, strict=True)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[kayak.DirectoryLateStore]:
    with kayak.DirectoryLateStore(tmp_path / "store") as opened:
        yield opened


def test_documents_come_back_bit_exact_after_reopening(tmp_path: Path) -> None:
    batch = make(["a", "b", "c"], texts=["alpha", "", "γ"])
    batch = kayak.documents(
        batch.doc_ids,
        [*batch.token_matrices[:2], np.array([[-0.0, 1e-42, 3.4e38, 1, 2, 3, 4, 5]], dtype=np.float32)],
        texts=batch.texts,
    )
    rows = [{"n": 1}, {}, {"deep": {"l": [1, 1.0, None, True, "x"]}}]
    with kayak.open_store("kayak", path=str(tmp_path / "s")) as store:
        store.upsert(batch, metadata=rows)
    with kayak.open_store("directory", path=tmp_path / "s") as store:
        assert contents(store) == expected(batch, rows)
        index = store.load_index(include_text=True)
        assert index.doc_ids == batch.doc_ids
        assert index.doc_texts == batch.texts
        assert index.as_packed_token_matrix().tobytes() == batch.block.vectors.tobytes()
        assert isinstance(store, kayak.LateStore)


def test_metadata_keeps_types_and_key_order(store: kayak.DirectoryLateStore) -> None:
    row = {"z": 1, "a": 1.0, "m": True, "neg": -0.0, "big": 2**63 - 1, "null": None, "s": "a\0b", "": "empty key"}
    store.upsert(make(["d"]), metadata=[row])
    ((_, _, _, back),) = contents(store)
    assert list(back.items()) == list(row.items())
    assert [type(value) for value in back.values()] == [type(value) for value in row.values()]
    assert np.signbit(back["neg"])


def test_replacing_keeps_the_place_and_takes_everything_with_it(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a", "b", "c"], texts=["ta", "tb", "tc"]), metadata=[{"k": 1}, {"k": 2}, {"k": 3}])
    new = make(["d", "b"], seed=7)
    store.upsert(new)
    assert [row[0] for row in contents(store)] == ["a", "b", "c", "d"]
    assert contents(store, doc_ids=["b"]) == expected(new)[1:]
    assert store.load_index(where={"k": {"$exists": True}}).doc_ids == ("a", "c")
    stats = store.stats()
    assert (stats.document_count, stats.has_texts, stats.has_metadata) == (4, True, True)


def test_own_metadata_of_a_batch_is_stored(store: kayak.DirectoryLateStore, tmp_path: Path) -> None:
    store.upsert(make(["a"], texts=["t"]), metadata=[{"k": [1]}])
    with kayak.DirectoryLateStore(tmp_path / "copy") as copy:
        for batch in store.documents():
            copy.upsert(batch)
        assert contents(copy) == contents(store)


def test_delete_ignores_unknown_ids_and_reinsertion_goes_last(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a", "b", "c"]))
    generation = store.generation()
    store.delete(["nope", "", "\ud800"])
    assert store.generation() == generation
    store.delete(["b", "nope", "b"])
    assert store.generation() == generation + 1
    store.upsert(make(["b"]))
    assert store.load_index().doc_ids == ("a", "c", "b")


def test_an_emptied_store_takes_another_dimension(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a"], dim=8))
    store.delete(["a"])
    assert store.stats().vector_dim is None
    new = make(["a", "b"], dim=3)
    store.upsert(new)
    assert contents(store) == expected(new)
    store.compact()
    assert contents(store) == expected(new)
    assert store.stats().reclaimable_byte_size == 0


@pytest.mark.parametrize(
    "doc_id", ["a\0b", "x" * 100_000, "'; DROP TABLE documents; --", "日本語", "💥", " ", "\n", "%_", "\uffff"]
)
def test_hostile_ids_and_texts(store: kayak.DirectoryLateStore, doc_id: str) -> None:
    batch = make([doc_id, "other"], texts=[doc_id * 2, None])
    store.upsert(batch, metadata=[{doc_id: doc_id}, None])
    assert contents(store) == expected(batch, [{doc_id: doc_id}, {}])
    assert store.load_index(where={doc_id: doc_id}).doc_ids == (doc_id,)
    assert store.load_index(doc_ids=[doc_id]).doc_ids == (doc_id,)
    store.delete([doc_id])
    assert store.load_index().doc_ids == ("other",)


def test_selections(store: kayak.DirectoryLateStore) -> None:
    ids = [f"d{i}" for i in range(20)]
    batch = make(ids, texts=[f"t{i}" for i in range(20)])
    store.upsert(batch, metadata=[{"even": i % 2 == 0} for i in range(20)])
    index = store.load_index(doc_ids=["d7", "unknown", "d2", "d11"], include_text=True)
    assert index.doc_ids == ("d7", "d2", "d11")
    assert index.doc_texts == ("t7", "t2", "t11")
    for number, doc_id in enumerate(index.doc_ids):
        np.testing.assert_array_equal(index.document_token_matrix(number), batch.token_matrices[ids.index(doc_id)])
    assert store.load_index(doc_ids=["d4", "d3", "d0"], where={"even": True}).doc_ids == ("d4", "d0")
    assert store.load_index(where={"even": False}).doc_ids == tuple(ids[1::2])
    assert store.load_index(doc_ids=["d1"]).doc_texts is None
    store.upsert(make(["d1"]))
    assert store.load_index(doc_ids=["d1"], include_text=True).doc_texts is None
    assert [len(b) for b in store.documents(batch_size=8)] == [8, 8, 4]
    assert [row[0] for row in contents(store, doc_ids=["d9", "d1"], batch_size=1)] == ["d9", "d1"]
    assert list(store.documents(where={"even": 3})) == []


def test_empty_selections_say_what_was_asked(store: kayak.DirectoryLateStore) -> None:
    with pytest.raises(EmptySelectionError, match="holds no documents; upsert some first"):
        store.load_index()
    assert list(store.documents()) == []
    store.upsert(make(["a"]))
    with pytest.raises(EmptySelectionError, match=r"doc_ids \(1 given\) and where=\{'k': 1\}"):
        store.load_index(doc_ids=["b"], where={"k": 1})
    with pytest.raises(EmptySelectionError):
        store.load_index(doc_ids=[])


def test_malformed_selections(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a"]))
    with pytest.raises(InvalidInputError, match="given twice"):
        store.load_index(doc_ids=["a", "a"])
    with pytest.raises(FilterError, match="not a known operator"):
        store.load_index(where={"k": {"$near": 1}})
    with pytest.raises(FilterError):
        store.documents(where={"k": {"$near": 1}})
    with pytest.raises(InvalidInputError, match="batch_size must be ≥ 1, got 0"):
        store.documents(batch_size=0)
    with pytest.raises(InvalidInputError, match="unknown index layout 'columns'"):
        store.load_index(layout="columns")
    with pytest.raises(InvalidInputError, match="dimension 128"):
        store.load_index(layout="hybrid_flat_dim128")
    with pytest.raises(InvalidTypeError, match="must be a sequence of strings"):
        store.delete("a")


def test_flat_layout(store: kayak.DirectoryLateStore) -> None:
    batch = make(["a", "b"], dim=128)
    store.upsert(batch)
    index = store.load_index(layout="hybrid_flat_dim128")
    assert index.token_values is not None
    assert index.token_values.tobytes() == batch.block.vectors.tobytes()


def test_wrong_upserts_change_nothing(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a"], texts=["t"]), metadata=[{"k": 1}])
    before, generation = contents(store), store.generation()
    with pytest.raises(
        InvalidInputError, match="document 'b' has vectors of dimension 3, but the store holds dimension 8"
    ):
        store.upsert(make(["b"], dim=3))
    with pytest.raises(InvalidInputError, match="text of document 'c' holds a lone surrogate"):
        store.upsert(make(["a", "c"], texts=["new", "ab\ud800"]))
    with pytest.raises(InvalidInputError, match="2 rows for 1 documents"):
        store.upsert(make(["a"]), metadata=[{}, {}])
    with pytest.raises(FilterError, match="metadata of document 'a'"):
        store.upsert(make(["a"]), metadata=[{"x": float("nan")}])
    with pytest.raises(InvalidTypeError, match="expects LateDocuments"):
        store.upsert({"a": [[1.0]]})  # type: ignore[arg-type]  # the mistake under test
    assert contents(store) == before
    assert store.generation() == generation


def test_float16_is_half_the_bytes_and_rounds(tmp_path: Path) -> None:
    batch = make(["a", "b"], dim=64)
    with kayak.DirectoryLateStore(tmp_path / "h", vector_dtype="float16") as store:
        store.upsert(batch)
        assert store.vector_dtype == store.stats().vector_dtype == "float16"
        index = store.load_index()
        assert index.vector_dtype == "float16"
        rounded = batch.block.vectors.astype(np.float16)
        assert index.as_packed_token_matrix().tobytes() == rounded.astype(np.float32).tobytes()
        (exported,) = store.documents()
        assert exported.block.vectors.dtype == np.float16
        assert exported.block.vectors.tobytes() == rounded.tobytes()
        assert sum(p.stat().st_size for p in (tmp_path / "h" / "segments").iterdir()) == 64 + rounded.nbytes
        store.upsert(attach_copy(exported, "again"))
    with pytest.raises(InvalidInputError, match="keeps vectors as float16, but vector_dtype='float32'"):
        kayak.DirectoryLateStore(tmp_path / "h", vector_dtype="float32")
    with kayak.DirectoryLateStore(tmp_path / "h") as store:
        assert store.vector_dtype == "float16"
        assert store.stats().document_count == 4


def attach_copy(batch: kayak.LateDocuments, suffix: str) -> kayak.LateDocuments:
    return kayak.LateDocuments(tuple(f"{doc_id}-{suffix}" for doc_id in batch.doc_ids), batch.block)


def test_float16_overflow_is_refused(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "h", vector_dtype="float16") as store:
        store.upsert(make(["a"]))
        values = np.ones((3, 8), dtype=np.float32)
        values[2, 1] = 70_000.0
        with pytest.raises(InvalidInputError, match="'big' has a value beyond ±65504 in token vector 2"):
            store.upsert(kayak.documents(["small", "big"], [np.ones((2, 8)), values]))
        assert store.load_index().doc_ids == ("a",)


def test_small_upserts_share_a_segment_and_large_ones_start_new_ones(tmp_path: Path) -> None:
    row = 8 * 4
    with kayak.DirectoryLateStore(tmp_path / "s", segment_bytes=64 + 10 * row) as store:
        for number in range(10):
            store.upsert(kayak.documents([f"d{number}"], [np.full((1, 8), number)]))
        assert len(store.load_index().slices) == 1
        store.upsert(kayak.documents(["huge"], [np.ones((100, 8))]))
        store.upsert(kayak.documents(["next"], [np.ones((1, 8))]))
        index = store.load_index()
        assert len(index.slices) == 3
        assert index.doc_ids == (*(f"d{i}" for i in range(10)), "huge", "next")
        assert index.document_token_matrix(3)[0, 0] == 3


def test_an_index_is_zero_copy_and_outlives_changes(tmp_path: Path) -> None:
    batch = make(["a", "b", "c"])
    store = kayak.DirectoryLateStore(tmp_path / "s")
    store.upsert(batch)
    index = store.load_index()
    block = index.slices[0].block
    base: Any = block.vectors
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not block.vectors.flags.writeable
    later = store.load_index(where={"k": {"$exists": False}})
    assert np.shares_memory(later.slices[0].block.vectors, block.vectors)
    store.delete(["b"])
    store.upsert(make(["a"], seed=3))
    store.compact()
    store.close()
    assert index.as_packed_token_matrix().tobytes() == batch.block.vectors.tobytes()


def test_selections_over_holes(store: kayak.DirectoryLateStore) -> None:
    ids = [f"d{i}" for i in range(12)]
    batch = make(ids)
    store.upsert(batch)
    store.delete(["d0", "d4", "d5", "d11"])
    left = [i for i in range(12) if i not in (0, 4, 5, 11)]
    index = store.load_index()
    assert index.doc_ids == tuple(ids[i] for i in left)
    for number, i in enumerate(left):
        np.testing.assert_array_equal(index.document_token_matrix(number), batch.token_matrices[i])
    query = kayak.query(np.ones((2, 8), dtype=np.float32))
    scores = kayak.maxsim(query, index).numpy()
    oracle = [float(batch.token_matrices[i].astype(np.float64).sum(axis=1).max() * 2) for i in left]
    np.testing.assert_allclose(scores, oracle, rtol=1e-5, atol=1e-5)
    (whole,) = store.documents()
    assert whole.block.vectors.tobytes() == b"".join(batch.token_matrices[i].tobytes() for i in left)


def test_search_candidates_is_exact(store: kayak.DirectoryLateStore) -> None:
    batch = make([f"d{i}" for i in range(30)])
    store.upsert(batch, metadata=[{"n": i} for i in range(30)])
    query = kayak.query(np.random.default_rng(5).standard_normal((3, 8)).astype(np.float32))
    found = store.search_candidates(query, k=4)
    assert found.hits == kayak.search(query, batch.pack(), k=4)
    assert store.search_candidates(query, k=4, where={"n": {"$gt": 99}}).hits == ()
    assert store.capabilities().native_candidates == "exact"


def test_stats_and_capabilities(store: kayak.DirectoryLateStore, tmp_path: Path) -> None:
    empty = store.stats()
    assert (empty.document_count, empty.total_vector_count, empty.vector_dim) == (0, 0, None)
    assert (empty.has_texts, empty.has_metadata, empty.kind) == (False, False, "kayak")
    batch = make(["a", "b"], texts=["t", None])
    store.upsert(batch)
    stats = store.stats()
    assert (stats.document_count, stats.total_vector_count, stats.vector_dim) == (2, batch.total_vector_count, 8)
    assert (stats.has_texts, stats.has_metadata, stats.reclaimable_byte_size) == (True, False, 0)
    files = [p for p in (tmp_path / "store").rglob("*") if p.is_file()]
    assert stats.storage_byte_size == sum(p.stat().st_size for p in files)
    store.delete(["a"])
    assert store.stats().reclaimable_byte_size == batch.vector_counts[0] * 8 * 4
    capabilities = store.capabilities()
    assert capabilities.persistent
    assert capabilities.atomic_upsert
    assert capabilities.preserves_insertion_order
    assert capabilities.vector_dtypes == ("float32", "float16", "int8")
    assert set(capabilities.filter_pushdown) >= {"$eq", "$ne", "$in", "$nin", "$gt", "$exists", "$and", "$or", "$not"}
    assert repr(store) == f"DirectoryLateStore({str(store.path)!r})"


def test_encoder_fingerprint(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        assert store.encoder_fingerprint() is None
        store.set_encoder_fingerprint("hashing-v1 ✓")
        generation = store.generation()
        store.set_encoder_fingerprint("hashing-v1 ✓")
        assert store.generation() == generation
        with pytest.raises(InvalidTypeError, match="a fingerprint is a string, got int"):
            store.set_encoder_fingerprint(3)  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(InvalidInputError, match="lone surrogate"):
            store.set_encoder_fingerprint("\ud800")
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        assert store.encoder_fingerprint() == store.stats().encoder_fingerprint == "hashing-v1 ✓"


def test_compaction_reclaims_and_keeps_everything(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s", segment_bytes=4096) as store:
        for number in range(10):
            ids = [f"{number}-{i}" for i in range(20)]
            store.upsert(
                make(ids, seed=number, texts=[f"text {i}" * 50 for i in ids]), metadata=[{"i": i} for i in ids]
            )
        store.delete([f"{n}-{i}" for n in range(0, 10, 2) for i in range(20)])
        store.delete([f"{n}-{i}" for n in range(1, 10, 2) for i in range(0, 20, 3)])
        before, held = contents(store), store.load_index()
        kept = held.as_packed_token_matrix().copy()
        size, reclaimable = store.stats().storage_byte_size, store.stats().reclaimable_byte_size
        assert size is not None
        assert reclaimable
        report = store.compact()
        assert report.moved_documents == len(before) == 65
        assert report.rewritten_segments > 5
        after = store.stats()
        assert after.reclaimable_byte_size == 0
        assert after.storage_byte_size == report.storage_byte_size == size - report.reclaimed_byte_size
        assert contents(store) == before
        assert store.load_index().as_packed_token_matrix().tobytes() == kept.tobytes()
        store.verify()
        generation = store.generation()
        again = store.compact()
        assert (again.rewritten_segments, again.moved_documents, store.generation()) == (0, 0, generation)
        store.delete([row[0] for row in before])
        store.compact()
        assert list((tmp_path / "s" / "segments").iterdir()) == []


def test_compaction_of_many_groups_and_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kayak.builtin.directory.compaction._COPY_BYTES", 1000)
    ids = [f"d{i}" for i in range(200)]
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(make(ids))
        store.delete(ids[::2])
        before = contents(store)
    with kayak.DirectoryLateStore(tmp_path / "s", segment_bytes=3000) as store:
        assert store.compact().moved_documents == 100
        assert contents(store) == before
        assert len(list((tmp_path / "s" / "segments").iterdir())) > 2
        store.verify()


def test_many_exports_at_once(store: kayak.DirectoryLateStore) -> None:
    batch = make(["a", "b"])
    store.upsert(batch)
    exports = [store.documents(batch_size=1) for _ in range(12)]
    for export in exports:
        next(export)
    for export in exports:
        assert [b.doc_ids for b in export] == [("b",)]
    assert contents(store) == expected(batch)


def test_leftovers_of_killed_writers_are_removed_by_the_next(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(make(["a"]))
    leftovers = [tmp_path / "s" / "segments" / "00000099.vec", tmp_path / "s" / "catalog.sqlite.new-1"]
    own = tmp_path / "s" / "segments" / "notes.txt"
    for path in [*leftovers, own]:
        path.write_bytes(b"left")
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(make(["b"]))
        assert not any(path.exists() for path in leftovers)
        assert own.exists()
        assert store.load_index().doc_ids == ("a", "b")


def test_a_dead_writers_bytes_are_overwritten(tmp_path: Path) -> None:
    first, second = make(["a"]), make(["b"], seed=2)
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(first)
        (segment,) = (tmp_path / "s" / "segments").iterdir()
        with segment.open("ab") as file:
            file.write(b"unfinished" * 1000)
        assert contents(store) == expected(first)
        store.upsert(second)
        assert contents(store) == expected(first) + expected(second)
        assert segment.stat().st_size == 64 + first.block.vectors.nbytes + second.block.vectors.nbytes


def test_closing(tmp_path: Path) -> None:
    store = kayak.DirectoryLateStore(tmp_path / "s")
    store.upsert(make(["a", "b"]))
    export = store.documents(batch_size=1)
    next(export)
    store.close()
    store.close()
    calls = [
        store.load_index,
        store.documents,
        store.stats,
        store.generation,
        store.encoder_fingerprint,
        store.compact,
        store.verify,
        store.__enter__,
        lambda: store.upsert(make(["c"])),
        lambda: store.delete(["a"]),
        lambda: store.set_encoder_fingerprint("x"),
        lambda: store.search_candidates(kayak.query(np.ones((1, 8))), k=1),
        lambda: next(export),
    ]
    for call in calls:
        with pytest.raises(StoreClosedError, match=re.escape("store 'kayak' is closed")):
            call()
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["acknowledged", "catalog.sqlite", "segments"]


def test_a_store_that_is_never_closed_warns_about_nothing(tmp_path: Path) -> None:
    store = kayak.DirectoryLateStore(tmp_path / "s")
    store.upsert(make(["a", "b"]))
    export = store.documents(batch_size=1)
    next(export)
    del store, export
    gc.collect()


def test_export_is_one_snapshot(store: kayak.DirectoryLateStore) -> None:
    ids = [f"d{i}" for i in range(40)]
    batch = make(ids, texts=ids)
    store.upsert(batch, metadata=[{"id": i} for i in ids])
    export = store.documents(batch_size=7)
    seen = [next(export)]
    store.delete(ids[::2])
    store.upsert(make(ids[1::2], seed=9))
    store.compact()
    seen.extend(export)
    assert [doc_id for b in seen for doc_id in b.doc_ids] == ids
    assert b"".join(m.tobytes() for b in seen for m in b.token_matrices) == batch.block.vectors.tobytes()
    assert [text for b in seen for text in b.texts or ()] == ids
    assert store.load_index().doc_ids == tuple(ids[1::2])


def test_another_object_sees_writes_at_once(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s") as writer, kayak.DirectoryLateStore(tmp_path / "s") as reader:
        for number in range(5):
            writer.upsert(make([f"d{number}"]))
            assert reader.generation() == writer.generation() == number + 1
            assert reader.load_index().document_count == number + 1
        writer.delete(["d0"])
        writer.compact()
        assert reader.load_index().doc_ids == ("d1", "d2", "d3", "d4")


def test_a_second_writer_waits_and_then_says_so(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s", busy_timeout=0.05) as store:
        store.upsert(make(["a"]))
        with contextlib.closing(sqlite3.connect(tmp_path / "s" / "catalog.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for write in (lambda: store.upsert(make(["b"])), lambda: store.delete(["a"]), store.compact):
                with pytest.raises(StoreBusyError, match=r"longer than busy_timeout=0\.05 s"):
                    write()
            assert store.load_index().doc_ids == ("a",)
            other.execute("ROLLBACK")
        store.upsert(make(["b"]))
        assert store.load_index().doc_ids == ("a", "b")


def test_threads_share_one_store(store: kayak.DirectoryLateStore) -> None:
    start = threading.Barrier(6)

    def write(name: str) -> None:
        start.wait()
        for number in range(10):
            store.upsert(make([f"{name}-{number}", f"{name}-{number}-twin"], seed=number))

    def read() -> None:
        start.wait()
        for _ in range(30):
            with contextlib.suppress(EmptySelectionError):
                index = store.load_index()
                index.as_packed_token_matrix()
                ids = set(index.doc_ids)
                assert all((i[:-5] if i.endswith("-twin") else f"{i}-twin") in ids for i in ids)

    with ThreadPoolExecutor(6) as pool:
        tasks = [pool.submit(write, f"w{i}") for i in range(2)] + [pool.submit(read) for _ in range(4)]
    for task in tasks:
        task.result()
    assert store.stats().document_count == 40


def test_a_reader_that_began_before_the_newest_snapshot(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a", "b"]))
    reader = store._engine._state.reader
    with reader.meta() as (connection, older):
        store.upsert(make(["c", "d", "e"]))
        newest = store.load_index()  # maps the segment with its new length
        newest.as_packed_token_matrix()
        snapshot = reader.current(connection, older)
    assert snapshot.ids == ("a", "b")
    assert store.load_index().doc_ids == newest.doc_ids


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_uses_the_store_on_its_own(store: kayak.DirectoryLateStore) -> None:
    store.upsert(make(["a"]))
    before = store.load_index()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.upsert(make(["b"]))
            code = 0 if store.load_index().doc_ids == ("a", "b") and before.as_packed_token_matrix().size else 2
            store.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.load_index().doc_ids == ("a", "b")
    store.upsert(make(["c"]))
    store.verify()


def test_another_process_starts_from_the_folder(
    store: kayak.DirectoryLateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert(make(["a"]))
    before = store.load_index()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    after = store.load_index()
    assert not np.shares_memory(before.slices[0].block.vectors, after.slices[0].block.vectors)
    assert after.doc_ids == before.doc_ids


def test_paths_that_cannot_be_a_store(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(StorePathError, match="is a file, but a kayak store is a folder"):
        kayak.DirectoryLateStore(file)
    with pytest.raises(StorePathError, match="cannot create"):
        kayak.DirectoryLateStore(file / "below")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    with pytest.raises(StorePathError, match=r"neither empty nor a kayak store \(it holds 'thesis.txt'\)"):
        kayak.DirectoryLateStore(full)
    assert [p.name for p in full.iterdir()] == ["thesis.txt"]
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(StorePathError, match="there is no kayak store at"):
            kayak.DirectoryLateStore(tmp_path / "none", **options)  # type: ignore[arg-type]  # two bool options
    assert not (tmp_path / "none").exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with contextlib.closing(sqlite3.connect(foreign / "catalog.sqlite")) as other:
        other.execute("CREATE TABLE recipes (name)")
    with pytest.raises(StorePathError, match="an SQLite database, but not a kayak store"):
        kayak.DirectoryLateStore(foreign)


def test_options_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "s"
    wrong: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (InvalidInputError, "unknown vector_dtype 'int4'", {"vector_dtype": "int4"}),
        (InvalidInputError, "unknown vector_dtype 2", {"vector_dtype": 2}),
        (InvalidInputError, "busy_timeout must lie between", {"busy_timeout": -1}),
        (InvalidInputError, "busy_timeout must lie between", {"busy_timeout": float("inf")}),
        (InvalidTypeError, "busy_timeout must be a number of seconds", {"busy_timeout": "5"}),
        (InvalidInputError, "segment_bytes must be ≥ 1", {"segment_bytes": 0}),
        (InvalidTypeError, "read_only must be True or False", {"read_only": "no"}),
        (InvalidTypeError, "create must be True or False", {"create": 1}),
    ]
    for error, message, options in wrong:
        with pytest.raises(error, match=message):
            kayak.DirectoryLateStore(path, **options)
    for bad in (3, None, "", b"x"):
        with pytest.raises(InvalidTypeError, match="path must be a non-empty string or a Path"):
            kayak.DirectoryLateStore(bad)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(InvalidInputError, match="NUL"):
        kayak.DirectoryLateStore("a\0b")
    assert not path.exists()


def test_read_only(tmp_path: Path) -> None:
    batch = make(["a", "b"], texts=["ta", "tb"])
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(batch, metadata=[{"k": 1}, {"k": 2}])
        with kayak.DirectoryLateStore(tmp_path / "s", read_only=True) as reader:
            assert contents(reader) == contents(store)
            store.delete(["a"])
            assert reader.load_index().doc_ids == ("b",)
    with kayak.DirectoryLateStore(tmp_path / "s", read_only=True) as reader:
        assert reader.load_index(where={"k": 2}).doc_ids == ("b",)
        reader.verify()
        writes = (
            lambda: reader.upsert(batch),
            lambda: reader.delete(["a"]),
            reader.compact,
            lambda: reader.set_encoder_fingerprint("x"),
        )
        for write in writes:
            with pytest.raises(UnsupportedOperationError, match="opened with read_only=True"):
                write()


_UNPRIVILEGED = """
import os, sys, tempfile
import kayak
from kayak.errors import StoreError
with tempfile.TemporaryDirectory() as folder:  # loads modules that the process may not be able to read afterwards
    with kayak.DirectoryLateStore(folder) as store:
        store.upsert(kayak.documents(["w"], [[[1.0]]]), metadata=[{"k": 1}])
        store.load_index(where={"k": 1}), store.verify()
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
path, mode = sys.argv[1:]
try:
    with kayak.DirectoryLateStore(path, read_only=mode == "read") as store:
        if mode == "write":
            store.set_encoder_fingerprint("x")
        print(store.load_index(where={"k": 1}).doc_ids, store.verify().document_count)
except StoreError as error:
    print(type(error).__name__, error)
"""


def _unprivileged(path: Path, mode: str) -> str:
    """Use a store as a user without write permission, and return what happened."""
    done = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED, str(path), mode], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class WithoutFilesBeside(sqlite3.Connection):
    """A connection that fails as in a read-only folder, unless it was told that nothing changes the file."""

    def __init__(self, database: str, **options: Any) -> None:
        super().__init__(database, **options)
        self._immutable = "immutable=1" in database

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if not self._immutable and sql.startswith("SELECT"):
            sqlite3.connect("file:/nonexistent/catalog.sqlite?mode=ro", uri=True)  # raises SQLITE_CANTOPEN
        return super().execute(sql, *parameters)


def test_read_only_where_sqlite_cannot_make_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = kayak.DirectoryLateStore(tmp_path / "s")
    store.upsert(make(["a"]))
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(
            sqlite3,
            "connect",
            lambda *a, **k: connect(*a, **({"factory": WithoutFilesBeside} if len(k) > 1 else {}), **k),
        )
        with pytest.raises(StorePathError, match="was not closed cleanly and lies in a read-only place"):
            kayak.DirectoryLateStore(tmp_path / "s", read_only=True)
        store.close()
        with kayak.DirectoryLateStore(tmp_path / "s", read_only=True) as reader:
            assert reader.load_index().doc_ids == ("a",)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_folders_without_write_permission(open_folder: Path) -> None:
    path = open_folder / "s"
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(make(["a", "b"]), metadata=[{"k": 1}, {"k": 2}])
    for entry in [path, *path.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        assert _unprivileged(path, "read") == "('a',) 2\n"
        assert "StorePathError cannot" in _unprivileged(path, "write")
        assert "StorePathError cannot create" in _unprivileged(path / "segments" / "new", "write")
    finally:
        for entry in [path, *path.rglob("*")]:
            entry.chmod(0o755 if entry.is_dir() else 0o644)
    # A store whose writer was killed, in a read-only place: its log cannot be replayed there.
    killed = open_folder / "killed"
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(make(["c"]))
        shutil.copytree(path, killed)
    (killed / "catalog.sqlite-shm").unlink()
    for entry in [killed, *killed.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        assert "was not closed cleanly and lies in a read-only place" in _unprivileged(killed, "read")
    finally:
        for entry in [killed, *killed.rglob("*")]:
            entry.chmod(0o755 if entry.is_dir() else 0o644)


def test_a_killed_creation_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (path / "segments").mkdir(parents=True)
    (path / "catalog.sqlite.new-abc").write_bytes(b"half")
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(make(["a"]))
        assert store.load_index().doc_ids == ("a",)
        assert not (path / "catalog.sqlite.new-abc").exists()


def test_creation_without_hard_links_and_lost_races(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Any, target: Any) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(make(["a"]))

    monkeypatch.setattr(os, "link", _link_after(tmp_path / "s", tmp_path / "u"))
    with kayak.DirectoryLateStore(tmp_path / "u") as winner:
        assert winner.load_index().doc_ids == ("a",)
        winner.verify()


def _link_after(winner: Path, folder: Path) -> Any:
    """Return an os.link that loses to a process which put a whole store there first."""

    def link(source: Any, target: Any) -> None:
        for name in ("catalog.sqlite", "acknowledged"):
            (folder / name).write_bytes((winner / name).read_bytes())
        for segment in (winner / "segments").iterdir():
            (folder / "segments" / segment.name).write_bytes(segment.read_bytes())
        raise FileExistsError

    return link


def test_large_id_lists_and_subsets(store: kayak.DirectoryLateStore) -> None:
    ids = [f"d{i}" for i in range(3000)]
    batch = kayak.documents(ids, np.arange(3000 * 2, dtype=np.float32).reshape(3000, 1, 2), texts=ids)
    store.upsert(batch, metadata=[{"n": i} for i in range(3000)])
    wanted = ids[::-1] + [f"unknown-{i}" for i in range(100_000)]
    index = store.load_index(doc_ids=wanted, include_text=True)
    assert index.doc_ids == tuple(ids[::-1])
    assert index.doc_texts == tuple(ids[::-1])
    assert index.as_packed_token_matrix()[0].tolist() == [5998.0, 5999.0]
    few = store.load_index(doc_ids=ids[5:600:7], include_text=True)
    assert few.doc_texts == tuple(ids[5:600:7])
    store.delete(wanted[1:])
    assert store.load_index().doc_ids == ("d2999",)
    store.verify()
