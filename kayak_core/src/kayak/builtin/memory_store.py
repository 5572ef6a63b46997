"""`MemoryLateStore`: the store contract without persistence, and the reference for every other store."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import ClassVar

import attrs

from kayak.builtin.exact_candidates import exact_store_candidates
from kayak.contracts import (
    BaseLateStore,
    CandidateStageResult,
    LateStoreStats,
    StoreCapabilities,
    StoredDocument,
    Where,
)
from kayak.typing import DocIdsInput, MetadataFilterInput, MetadataRowsInput
from kayak.values import LateDocuments, LateQuery


class MemoryLateStore(BaseLateStore):
    """Keeps documents in this process's memory.

    Documents come back in the order of their first insertion; replacing one keeps its place. Safe to use from
    several threads: a reader sees the documents before or after a write, never a part of it.
    """

    kind: ClassVar[str] = "memory"
    persistent: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, StoredDocument] = {}
        self._generation = 0
        self._fingerprint: str | None = None

    def upsert(self, documents: LateDocuments, *, metadata: MetadataRowsInput = None) -> None:
        """Insert or replace documents; see `LateStore.upsert`."""
        with self._lock:  # the check of the dimension and the write are one step
            super().upsert(documents, metadata=metadata)

    def write_documents(self, rows: Sequence[StoredDocument]) -> None:
        """Insert or replace the documents; see `BaseLateStore.write_documents`."""
        with self._lock:
            self._rows.update((row.doc_id, row) for row in rows)
            self._generation += 1

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete the documents; see `BaseLateStore.delete_documents`."""
        with self._lock:
            known = [doc_id for doc_id in doc_ids if doc_id in self._rows]
            for doc_id in known:
                del self._rows[doc_id]
            self._generation += bool(known)

    def read_documents(self, doc_ids: Sequence[str] | None, where: Where | None) -> Iterable[StoredDocument]:
        """Return the documents as they are now; see `BaseLateStore.read_documents`."""
        del where  # checked by the caller, row by row
        with self._lock:
            if doc_ids is None:
                return list(self._rows.values())
            return [self._rows[doc_id] for doc_id in doc_ids if doc_id in self._rows]

    def vector_dim(self) -> int | None:
        """Return the dimension of the stored vectors, or None for an empty store."""
        with self._lock:
            first = next(iter(self._rows.values()), None)
        return None if first is None else int(first.vectors.shape[1])

    def release(self) -> None:
        """Let go of the documents."""
        with self._lock:
            self._rows = {}

    def search_candidates(
        self,
        query: LateQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best documents by exact MaxSim; see `LateStore.search_candidates`."""
        return exact_store_candidates(self, query, k=k, where=where, doc_ids=doc_ids)

    def stats(self) -> LateStoreStats:
        """Count what the store holds; bytes are those of the vectors and texts."""
        with self._lock:
            stats = super().stats()
            rows = self.read_documents(None, None)
        size = sum(row.vectors.nbytes + len((row.text or "").encode()) for row in rows)
        return attrs.evolve(stats, storage_byte_size=size, reclaimable_byte_size=0)

    def capabilities(self) -> StoreCapabilities:
        """Return what the store can do."""
        return StoreCapabilities(
            self.kind,
            persistent=False,
            native_candidates="exact",
            preserves_insertion_order=True,
            stores_encoder_fingerprint=True,
            reports_generation=True,
        )

    def generation(self) -> int:
        """Return a number that grows with every change."""
        self._check_open()
        return self._generation

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, or None where unknown."""
        self._check_open()
        return self._fingerprint

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus."""
        self._fingerprint = fingerprint
