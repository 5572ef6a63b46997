"""Importing stores that kayak 0.3 wrote: one JSON manifest, ids, offsets and a matrix in `.npy` files."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from kayak.builtin.directory.faults import corrupt, file_errors
from kayak.contracts.store import LateStore
from kayak.errors import StorePathError, StoreVersionError
from kayak.values import documents
from kayak.values.coerce import document_ids

_LEGACY_VERSION = 1
_BATCH_VECTORS = 1 << 17


@attrs.frozen(eq=False)
class _LegacyStore:
    doc_ids: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    texts: list[str | None] | None
    metadata: list[dict[str, Any] | None] | None


def import_kayak_03_store(source: str | PathLike[str], store: LateStore) -> int:
    """Copy all documents of a folder written by kayak 0.3 into an open store.

    The folder is only read. Documents whose ids the store has already are replaced, so an interrupted import is
    completed by running it again.

    Args:
        source: folder with `manifest.json`, `doc_ids.json`, `doc_offsets.npy`, `token_vectors.npy` and, where the
            manifest says so, `doc_texts.json` and `metadata.json`.
        store: any open store.

    Returns:
        The number of documents copied.

    Raises:
        StorePathError: there is no such folder, or it cannot be read.
        StoreVersionError: the manifest has another version than kayak 0.3's.
        StoreCorruptError: the files contradict each other; the message names the file.
    """
    legacy = _read_legacy(Path(source))
    offsets = legacy.offsets
    start = 0
    while start < len(legacy.doc_ids):
        limit = int(offsets[start]) + _BATCH_VECTORS
        stop = max(start + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        batch = slice(start, stop)
        matrices = [legacy.vectors[offsets[i] : offsets[i + 1]] for i in range(start, stop)]
        texts = None if legacy.texts is None else legacy.texts[batch]
        store.upsert(
            documents(legacy.doc_ids[batch], matrices, texts=texts),
            metadata=None if legacy.metadata is None else legacy.metadata[batch],
        )
        start = stop
    return len(legacy.doc_ids)


def _read_legacy(folder: Path) -> _LegacyStore:
    if not (folder / "manifest.json").is_file():
        raise StorePathError(f"{folder} is not a store of kayak 0.3: it has no manifest.json")
    manifest = _read_json(folder / "manifest.json", dict, lambda _: True)
    if manifest.get("version") != _LEGACY_VERSION:
        raise StoreVersionError(
            f"{folder} has manifest version {manifest.get('version')!r}; kayak 0.3 wrote {_LEGACY_VERSION}"
        )
    ids_path = folder / "doc_ids.json"
    raw_ids = _read_json(ids_path, list, lambda item: isinstance(item, str))
    try:
        doc_ids = document_ids(raw_ids)
    except ValueError as error:
        raise corrupt(ids_path, str(error)) from error
    offsets = _read_array(folder / "doc_offsets.npy", "iu", 1)
    vectors = _read_array(folder / "token_vectors.npy", "f", 2)
    if vectors.dtype != np.float32:
        raise corrupt(folder / "token_vectors.npy", f"it holds {vectors.dtype} instead of float32")
    expected = (manifest.get("document_count"), manifest.get("total_vector_count"), manifest.get("vector_dim"))
    if len(offsets) != len(doc_ids) + 1 or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise corrupt(folder / "doc_offsets.npy", f"it does not ascend from 0 in {len(doc_ids) + 1} steps")
    if int(offsets[-1]) > len(vectors):
        raise corrupt(folder / "token_vectors.npy", f"it has {len(vectors)} rows instead of {int(offsets[-1])}")
    if expected != (len(doc_ids), int(offsets[-1]), vectors.shape[1]):
        raise corrupt(
            folder / "manifest.json",
            f"it counts (documents, vectors, dimension) {expected} where the other files have "
            f"{(len(doc_ids), int(offsets[-1]), vectors.shape[1])}",
        )
    texts = metadata = None
    if manifest.get("has_texts"):
        texts = _read_aligned(folder / "doc_texts.json", str, len(doc_ids))
    if manifest.get("has_metadata"):
        metadata = _read_aligned(folder / "metadata.json", dict, len(doc_ids))
    return _LegacyStore(doc_ids, offsets.astype(np.int64), vectors, texts, metadata)


def _read_aligned(path: Path, kind: type, count: int) -> list[Any]:
    values: list[Any] = _read_json(path, list, lambda item: item is None or isinstance(item, kind))
    if len(values) != count:
        raise corrupt(path, f"it has {len(values)} entries for {count} documents")
    return values


def _read_json(path: Path, kind: type[list[Any] | dict[str, Any]], is_item: Callable[[Any], bool]) -> Any:
    with file_errors(path, "read"):
        data = path.read_bytes()
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise corrupt(path, f"it is not valid JSON ({error})") from error
    if not isinstance(value, kind) or not all(map(is_item, value)):
        raise corrupt(path, f"it is not a {kind.__name__} of the expected values")
    return value


def _read_array(path: Path, kinds: str, axes: int) -> npt.NDArray[Any]:
    with file_errors(path, "read"):
        try:
            array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise corrupt(path, f"it is not an .npy file of numbers ({error})") from error
    if array.dtype.kind not in kinds or array.ndim != axes:
        raise corrupt(path, f"it holds {array.ndim}-D {array.dtype} values")
    return array
