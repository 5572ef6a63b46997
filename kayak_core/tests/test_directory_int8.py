"""The directory store with int8: what lies on disk, what comes back, and who may open it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import kayak
import numpy as np
import pytest
from kayak.errors import InvalidInputError, StoreCorruptError, StoreVersionError
from kayak.testing.rows import as_kept
from kayak.values.element_types import encode_int8


def make(ids: str, dim: int = 8, seed: int = 0) -> kayak.LateDocuments:
    generator = np.random.default_rng(seed)
    return kayak.documents(
        list(ids), [generator.standard_normal((int(generator.integers(1, 5)), dim), dtype=np.float32) for _ in ids]
    )


def blocks(store: kayak.DirectoryLateStore) -> list[kayak.IndexBlock]:
    return [part.block for part in store.load_index().slices]


@pytest.mark.parametrize(("dim", "row_bytes"), [(1, 8), (3, 8), (4, 8), (5, 12), (128, 132)])
def test_a_row_is_a_scale_and_its_codes(tmp_path: Path, dim: int, row_bytes: int) -> None:
    batch = make("abc", dim)
    with kayak.DirectoryLateStore(tmp_path / "s", vector_dtype="int8") as store:
        store.upsert(batch)
        assert store.vector_dtype == store.stats().vector_dtype == store.load_index().vector_dtype == "int8"
        assert "int8" in store.capabilities().vector_dtypes
        (block,) = blocks(store)
        codes, scales = encode_int8(batch.block.vectors)  # type: ignore[arg-type]  # these are float32
        assert (block.vectors == codes).all()
        assert block.scales is not None
        assert (block.scales == scales).all()
        assert block.is_memory_mapped
        for array in (block.vectors, block.scales):
            assert array.base is not None
            assert not array.flags.writeable
            assert array.strides[0] == row_bytes
        assert block.scales.flags.aligned
        assert store.verify().vector_byte_size == len(codes) * row_bytes
    (segment,) = (tmp_path / "s" / "segments").iterdir()
    data = segment.read_bytes()
    assert len(data) == 64 + len(codes) * row_bytes
    row = data[64 + row_bytes : 64 + 2 * row_bytes]  # the second one
    assert row == scales[1].tobytes() + codes[1].tobytes() + bytes(row_bytes - 4 - dim)


def test_only_the_rounded_vectors_are_kept(tmp_path: Path) -> None:
    batch = make("abcd", 16)
    with kayak.open_store("kayak", path=tmp_path / "s", vector_dtype="int8") as store:
        store.upsert(batch)
        index = store.load_index()
        kept = [as_kept(matrix, "int8") for matrix in batch.token_matrices]
        for number, matrix in enumerate(kept):
            assert (index.document_token_matrix(number) == matrix).all()
            assert not (matrix == batch.token_matrices[number]).all()
        query = kayak.query(batch.token_matrices[2])
        hits = store.search_candidates(query, k=4)
        expected = kayak.maxsim(query, kayak.documents(list("abcd"), kept).pack())
        assert {hit.doc_id: hit.score for hit in hits.hits} == dict(zip("abcd", expected.values.tolist(), strict=True))
        assert hits.profile.vector_dtype == "int8"
        assert kayak.explain(query, index, "c").score == pytest.approx(expected.values[2], rel=1e-6)
    with pytest.raises(InvalidInputError, match="keeps vectors as int8, but vector_dtype='float32' was asked"):
        kayak.DirectoryLateStore(tmp_path / "s", vector_dtype="float32")


def test_export_compaction_and_copies_do_not_round_again(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "s", vector_dtype="int8", segment_bytes=200) as store:
        for seed, ids in enumerate(("abc", "de", "fgh")):
            store.upsert(make(ids, seed=seed))
        store.delete(["b", "f"])
        store.upsert(make("d", seed=9))
        # So small that its scale has few bits: encoding what it decodes to would give another scale.
        store.upsert(kayak.documents(["z"], [np.full((1, 8), 890 * 2.0**-149, dtype=np.float32)]))
        before = store.load_index().as_packed_token_matrix()
        raw = [(m.block.vectors.tobytes(), m.block.scales.tobytes()) for m in store.documents()]  # type: ignore[union-attr]
        assert store.compact().moved_documents
        store.verify()
        assert (store.load_index().as_packed_token_matrix() == before).all()
        assert raw == [(m.block.vectors.tobytes(), m.block.scales.tobytes()) for m in store.documents()]  # type: ignore[union-attr]
        with kayak.DirectoryLateStore(tmp_path / "copy", vector_dtype="int8") as copy:
            kayak.copy_store(store, copy)
            assert raw == [(m.block.vectors.tobytes(), m.block.scales.tobytes()) for m in copy.documents()]  # type: ignore[union-attr]
        with kayak.DirectoryLateStore(tmp_path / "exact") as exact:
            kayak.copy_store(store, exact)
            assert exact.load_index().vector_dtype == "float32"
            assert (exact.load_index().as_packed_token_matrix() == before).all()
        with kayak.DirectoryLateStore(tmp_path / "half", vector_dtype="float16") as half:
            kayak.copy_store(store, half)
            assert (half.load_index().as_packed_token_matrix() == before.astype(np.float16)).all()


def test_a_batch_inside_a_larger_block_is_stored_alone(tmp_path: Path) -> None:
    whole = make("abc").block
    inner = kayak.IndexBlock(whole.offsets[1:], whole.vectors)
    for vector_dtype in ("float32", "float16", "int8"):
        with kayak.DirectoryLateStore(tmp_path / vector_dtype, vector_dtype=vector_dtype) as store:
            store.upsert(kayak.LateDocuments(("b", "c"), inner))
            assert (store.load_index().document_token_matrix(0) == as_kept(whole.document(1), vector_dtype)).all()
            assert store.stats().total_vector_count == int(whole.counts[1:].sum())
            assert store.stats().reclaimable_byte_size == 0


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    block = kayak.IndexBlock(np.array([0, 1, 3]), np.array([[1.0], [2.0], [np.nan]], dtype=np.float32))
    with kayak.DirectoryLateStore(tmp_path / "s", vector_dtype="int8") as store:
        with pytest.raises(InvalidInputError, match="document 'b' has a value that is not finite in token vector 1"):
            store.upsert(kayak.LateDocuments(("a", "b"), block))
        assert store.stats().document_count == 0


@pytest.mark.parametrize(("vector_dtype", "version"), [("float32", 1), ("float16", 1), ("int8", 2)])
def test_only_int8_needs_the_newer_format(tmp_path: Path, vector_dtype: str, version: int) -> None:
    """A kayak that reads format 1 refuses a store of int8 by its version, and opens all others as before."""
    with kayak.DirectoryLateStore(tmp_path / "s", vector_dtype=vector_dtype) as store:
        store.upsert(make("a"))
    catalog = sqlite3.connect(tmp_path / "s" / "catalog.sqlite")
    assert catalog.execute("PRAGMA user_version").fetchone() == (version,)
    assert catalog.execute("SELECT format_version, vector_dtype FROM meta").fetchone() == (version, vector_dtype)
    catalog.execute(f"PRAGMA user_version = {3 - version}")
    catalog.close()
    with pytest.raises(StoreCorruptError, match=f"its format is {3 - version}, but its table `meta` says otherwise"):
        kayak.DirectoryLateStore(tmp_path / "s")


def test_an_earlier_kayak_says_that_the_store_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kayak.DirectoryLateStore(tmp_path / "s", vector_dtype="int8").close()
    monkeypatch.setattr("kayak.builtin.directory.schema.FORMAT_VERSION", 1)
    with pytest.raises(StoreVersionError, match=r"has store format 2, .*this version reads formats up to 1"):
        kayak.DirectoryLateStore(tmp_path / "s")
