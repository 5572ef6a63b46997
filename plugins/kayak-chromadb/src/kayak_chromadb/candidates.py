"""Candidates by Chroma's index over pooled vectors, and what makes up for what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import kayak
import numpy as np
from chromadb.api.models.Collection import Collection
from kayak.typing import Float32Matrix

from kayak_chromadb.records import pooled


def find_candidates(
    collection: Collection, search: kayak.CandidateSearch, where: dict[str, Any] | None, most_ids: int
) -> kayak.FoundCandidates:
    """Return the `k` documents whose pooled vectors have the largest cosine with the query's.

    Args:
        collection: Chroma's collection.
        search: the query, `k` and the ids to choose from.
        where: the filter in Chroma's terms.
        most_ids: ids that one request may name.
    """
    vector = pooled(search.vectors)
    scores: dict[str, float] = {}
    if search.doc_ids is None:
        scores.update(_nearest(collection, vector, search.k, where, None))
    else:
        for ids in _chunks(search.doc_ids, most_ids):
            # Chroma fails on an id that it does not know.
            if known := collection.get(ids=ids, where=where, include=[])["ids"]:
                scores.update(_nearest(collection, vector, search.k, where, known))
    notes: tuple[str, ...] = ()
    if len(scores) < search.k:
        left_out = [doc_id for doc_id in _selected(collection, search, where, most_ids) if doc_id not in scores]
        if left_out:
            for ids in _chunks(left_out, most_ids):
                scores.update(_compared(collection, vector, ids))
            notes = (f"Chroma's index left out {len(left_out)} selected documents; their pooled vectors were compared",)
    best = sorted(scores.items(), key=lambda item: -item[1])[: search.k]
    return kayak.FoundCandidates(
        tuple(doc_id for doc_id, _ in best),
        np.array([score for _, score in best], dtype=np.float32),
        bytes_read=sum(len(doc_id.encode()) + 4 for doc_id, _ in best),
        notes=notes,
    )


def _chunks(ids: Sequence[str], size: int) -> Iterator[list[str]]:
    return (list(ids[start : start + size]) for start in range(0, len(ids), size))


def _nearest(
    collection: Collection, vector: Float32Matrix, k: int, where: dict[str, Any] | None, ids: list[str] | None
) -> Iterator[tuple[str, float]]:
    """Ask the index; it may give fewer than `k`, for example among many equal vectors or under a narrow filter."""
    found = collection.query(
        query_embeddings=vector[np.newaxis], n_results=k, where=where, ids=ids, include=["distances"]
    )
    distances = found["distances"] or [[]]
    return zip(found["ids"][0], (1.0 - distance for distance in distances[0]), strict=True)


def _selected(
    collection: Collection, search: kayak.CandidateSearch, where: dict[str, Any] | None, most_ids: int
) -> list[str]:
    if search.doc_ids is None:
        return collection.get(where=where, include=[])["ids"]
    parts = (collection.get(ids=ids, where=where, include=[])["ids"] for ids in _chunks(search.doc_ids, most_ids))
    return [doc_id for part in parts for doc_id in part]


def _compared(collection: Collection, vector: Float32Matrix, ids: list[str]) -> Iterator[tuple[str, float]]:
    found = collection.get(ids=ids, include=["embeddings"])
    embeddings = np.asarray(found["embeddings"], dtype=np.float32).reshape(-1, len(vector))
    return zip(found["ids"], (embeddings @ vector).tolist(), strict=True)
