"""A store over rows in memory that keeps postings, and wherever it could go wrong, a method to override."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import attrs
import kayak


class Rows:
    """What a "database" holds: it outlives the stores over it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.rows: dict[str, kayak.StoredDocument] = {}
        self.revisions: dict[str, str] = {}
        self.terms: dict[str, Sequence[int]] = {}
        self.codebook: tuple[bytes, str] | None = None


class MemoryPostings(kayak.PostingsEngine):
    def __init__(self, store: MemoryPostingsStore) -> None:
        self.store = store
        self.data = store.data

    @property
    def identity(self) -> str | None:
        return None if self.data.codebook is None else self.data.codebook[1]

    def require(self, codebook: str) -> None:
        if self.identity != codebook:
            raise kayak.codebook_mismatch(self.store.kind, self.identity, codebook)

    def load_codebook(self) -> kayak.Codebook | None:
        held = self.data.codebook
        return None if held is None else kayak.Codebook.from_bytes(*held, place="the rows in memory")

    def save_codebook(self, codebook: kayak.Codebook) -> None:
        with self.data.lock:
            if self.identity != codebook.identity:
                self.data.terms = {}
            self.data.codebook = (codebook.data, codebook.identity)

    def unposted(self, codebook: str) -> Iterator[kayak.UnpostedDocuments]:
        self.require(codebook)
        with self.data.lock:
            rows = [row for doc_id, row in self.data.rows.items() if doc_id not in self.data.terms]
            revisions = [self.data.revisions[row.doc_id] for row in rows]
        for start in range(0, len(rows), 2):
            part = slice(start, start + 2)
            batch = kayak.documents([row.doc_id for row in rows[part]], [row.vectors for row in rows[part]])
            yield kayak.UnpostedDocuments(batch, tuple(revisions[part]))

    def unchanged(self, doc_id: str, revision: str) -> bool:
        return self.data.revisions.get(doc_id) == revision and doc_id not in self.data.terms

    def save(self, codebook: str, postings: kayak.DocumentPostings) -> int:
        with self.data.lock:
            self.require(codebook)
            kept = [
                number
                for number, (doc_id, revision) in enumerate(zip(postings.doc_ids, postings.revisions, strict=True))
                if self.unchanged(doc_id, revision)
            ]
            self.data.terms |= {postings.doc_ids[number]: postings.of(number).tolist() for number in kept}
        return len(kept)

    def refresh(self) -> None:
        pass

    def stats(self) -> kayak.PostingsStats:
        with self.data.lock:
            total, posted = len(self.data.rows), len(self.data.terms)
        return kayak.PostingsStats(self.identity, posted, total - posted)

    def score(self, terms: Sequence[int], query: kayak.PostingsQuery) -> float:
        best: dict[int, float] = {}
        for number, term, weight in zip(
            query.vector_numbers.tolist(), query.terms.tolist(), query.weights.tolist(), strict=True
        ):
            if term in terms:
                best[number] = max(weight, best.get(number, 0.0))
        return sum(best.values())

    def selected(self, search: kayak.PostingsSearch) -> list[str]:
        return [row.doc_id for row in self.store.chosen(kayak.StoreSelection(search.doc_ids, search.where))]

    def search(self, search: kayak.PostingsSearch) -> kayak.FoundPostings:
        with self.data.lock:
            ids = self.selected(search)
            scores = {i: self.score(self.data.terms[i], search.query) for i in ids if i in self.data.terms}
            unposted = [doc_id for doc_id in ids if doc_id not in self.data.terms]
        ranked = sorted((i for i in scores if scores[i] > 0), key=lambda i: -scores[i])[: search.k]
        found = kayak.FoundCandidates(tuple(ranked), [scores[i] for i in ranked])
        return kayak.FoundPostings(self.identity, found, tuple(unposted[: search.unposted_k]))


class MemoryPostingsStore(kayak.PostingsDatabaseStore):
    kind = "rows"
    engine: type[MemoryPostings] = MemoryPostings

    def __init__(self, data: Rows | None = None) -> None:
        self.data = data or Rows()
        self.postings = self.engine(self)

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        with self.data.lock:
            self.data.rows |= {row.doc_id: row for row in rows}
            for row in rows:
                self.data.revisions[row.doc_id] = uuid.uuid4().hex
            self.forget([row.doc_id for row in rows])

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        with self.data.lock:
            for doc_id in doc_ids:
                self.data.rows.pop(doc_id, None)
                self.data.revisions.pop(doc_id, None)
            self.forget(doc_ids)

    def forget(self, doc_ids: Sequence[str]) -> None:
        for doc_id in doc_ids:
            self.data.terms.pop(doc_id, None)

    def vector_dim(self) -> int | None:
        with self.data.lock:
            return next((int(row.vectors.shape[1]) for row in self.data.rows.values()), None)

    def chosen(self, selection: kayak.StoreSelection) -> list[kayak.StoredDocument]:
        with self.data.lock:
            rows = list(self.data.rows.values())
        where, ids = selection.where, selection.doc_ids
        return [
            row for row in rows if (ids is None or row.doc_id in ids) and (where is None or where.matches(row.metadata))
        ]

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        for row in self.chosen(selection):
            batch = kayak.documents([row.doc_id], [row.vectors], texts=[row.text] if selection.texts else None)
            yield attrs.evolve(batch, metadata=(deepcopy(dict(row.metadata)),) if selection.metadata else None)

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return ((row.doc_id, row.metadata) for row in self.chosen(selection))

    def capabilities(self) -> kayak.StoreCapabilities:
        return kayak.StoreCapabilities(
            self.kind,
            persistent=True,
            filter_pushdown=("$eq", "$and"),
            preserves_insertion_order=True,
            postings="max",
        )

    @classmethod
    def reopen(cls, store: kayak.LateStore) -> kayak.LateStore:
        data = store.data  # type: ignore[attr-defined]
        store.close()
        return cls(data)
