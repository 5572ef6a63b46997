"""Importing folders that kayak 0.3 wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest
from kayak.errors import StoreCorruptError, StorePathError, StoreVersionError

LEGACY_VECTORS = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def legacy_folder(path: Path, **changes: Any) -> Path:
    """Write a folder as kayak 0.3 does."""
    path.mkdir()
    manifest = {
        "version": 1,
        "document_count": 3,
        "total_vector_count": 6,
        "vector_dim": 4,
        "has_texts": True,
        "has_metadata": True,
    }
    (path / "manifest.json").write_text(json.dumps(manifest | changes.pop("manifest", {}), indent=2, sort_keys=True))
    (path / "doc_ids.json").write_text(json.dumps(changes.pop("doc_ids", ["a", "b", "ç"])))
    np.save(path / "doc_offsets.npy", changes.pop("doc_offsets", np.array([0, 1, 4, 6], dtype=np.int64)))
    np.save(path / "token_vectors.npy", changes.pop("token_vectors", LEGACY_VECTORS))
    (path / "doc_texts.json").write_text(json.dumps(changes.pop("doc_texts", ["ta", "tb", "tc"])))
    (path / "metadata.json").write_text(json.dumps(changes.pop("metadata", [{"k": 1}, None, {"k": [2.5]}])))
    assert not changes
    return path


def test_importing_a_store_of_kayak_03(tmp_path: Path) -> None:
    source = legacy_folder(tmp_path / "old")
    with pytest.raises(StoreVersionError, match=r"is a store of kayak 0\.3\. Import it .*import_kayak_03_store"):
        kayak.open_store("kayak", path=source)
    for target in (kayak.MemoryLateStore(), kayak.DirectoryLateStore(tmp_path / "new")):
        with target as store:
            assert kayak.import_kayak_03_store(source, store) == 3
            assert kayak.import_kayak_03_store(str(source), store) == 3
            (batch,) = store.documents()
            assert batch.doc_ids == ("a", "b", "ç")
            assert batch.vector_counts == (1, 3, 2)
            assert batch.block.vectors.tobytes() == LEGACY_VECTORS.tobytes()
            assert batch.texts == ("ta", "tb", "tc")
            assert batch.metadata == ({"k": 1}, {}, {"k": [2.5]})


def test_importing_without_texts_and_metadata_in_several_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kayak.builtin.directory.legacy._BATCH_VECTORS", 3)
    source = legacy_folder(tmp_path / "old", manifest={"has_texts": False, "has_metadata": False})
    (source / "doc_texts.json").unlink()
    (source / "metadata.json").unlink()
    with kayak.DirectoryLateStore(tmp_path / "new") as store:
        assert kayak.import_kayak_03_store(source, store) == 3
        assert store.generation() == 3
        assert store.load_index().as_packed_token_matrix().tobytes() == LEGACY_VECTORS.tobytes()
        assert not store.stats().has_texts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doc_ids": ["a", "b"]}, r"doc_offsets\.npy is damaged: it does not ascend from 0 in 3 steps"),
        ({"doc_ids": ["a", "b", "b"]}, r"doc_ids\.json is damaged: .*given twice"),
        ({"doc_ids": ["a", "b", 3]}, r"doc_ids\.json is damaged: it is not a list"),
        ({"doc_offsets": np.array([0, 1, 1, 6])}, r"doc_offsets\.npy is damaged"),
        ({"doc_offsets": np.array([0, 1, 4, 7])}, r"token_vectors\.npy is damaged: it has 6 rows instead of 7"),
        ({"doc_offsets": np.array([0.0, 1, 4, 6])}, r"doc_offsets\.npy is damaged: it holds 1-D float64"),
        ({"token_vectors": LEGACY_VECTORS.astype(np.float64)}, "it holds float64 instead of float32"),
        ({"token_vectors": LEGACY_VECTORS.reshape(-1)}, "it holds 1-D float32"),
        ({"manifest": {"document_count": 4}}, r"manifest\.json is damaged: it counts"),
        ({"doc_texts": ["ta"]}, r"doc_texts\.json is damaged: it has 1 entries for 3 documents"),
        ({"metadata": [1, 2, 3]}, r"metadata\.json is damaged: it is not a list"),
    ],
)
def test_contradictory_folders_of_kayak_03(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    source = legacy_folder(tmp_path / "old", **changes)
    store = kayak.MemoryLateStore()
    with pytest.raises(StoreCorruptError, match=message):
        kayak.import_kayak_03_store(source, store)
    assert store.stats().document_count == 0


def test_unreadable_folders_of_kayak_03(tmp_path: Path) -> None:
    store = kayak.MemoryLateStore()
    with pytest.raises(StorePathError, match=r"it has no manifest\.json"):
        kayak.import_kayak_03_store(tmp_path, store)
    with pytest.raises(StoreVersionError, match=r"manifest version 2; kayak 0\.3 wrote 1"):
        kayak.import_kayak_03_store(legacy_folder(tmp_path / "two", manifest={"version": 2}), store)
    source = legacy_folder(tmp_path / "old")
    (source / "token_vectors.npy").write_bytes(b"pickled")
    with pytest.raises(StoreCorruptError, match=r"not an \.npy file of numbers"):
        kayak.import_kayak_03_store(source, store)
    np.save(source / "token_vectors.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreCorruptError, match=r"not an \.npy file of numbers"):
        kayak.import_kayak_03_store(source, store)
    (source / "doc_ids.json").write_text("{")
    with pytest.raises(StoreCorruptError, match="it is not valid JSON"):
        kayak.import_kayak_03_store(source, store)
    (source / "doc_ids.json").unlink()
    with pytest.raises(StorePathError, match=r"cannot read .*doc_ids\.json"):
        kayak.import_kayak_03_store(source, store)
