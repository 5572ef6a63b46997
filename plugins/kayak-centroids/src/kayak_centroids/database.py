"""`store_centroids` for databases: a codebook and postings that live in the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Vector

from kayak_centroids.codebooks import CentroidCodebook, train
from kayak_centroids.fit import document_cosines
from kayak_centroids.numpy_kernels import centroid_kernels
from kayak_centroids.postings import distinct_pairs
from kayak_centroids.report import CentroidReport, rebuild_reason
from kayak_centroids.structure import BuildParameters
from kayak_centroids.tokens import kernel_vectors

_POSTING_BYTES = 8
"""A document and a term."""

_TERMS_AT_A_TIME = 1 << 18
"""Terms in one write, some thousand documents: for a database that rewrites rows, a write costs more than its terms."""


class PostingsStore(kayak.LateStore, kayak.KeepsPostings, Protocol):
    """A store that keeps postings."""


def store_postings(
    store: PostingsStore,
    parameters: BuildParameters,
    *,
    rebuild: bool,
    executor: kayak.Executor,
    show_progress: bool | None,
) -> CentroidReport:
    """Make the codebook of a database, or take what it has, and write postings for the documents that have none.

    Raises:
        InvalidInputError: the store's centroids were made with other parameters.
        StoreBusyError: somebody else has replaced the codebook meanwhile.
    """
    start = time.perf_counter()
    stats = store.stats()
    held = None if rebuild else store.read_codebook()
    with kayak.progress_bar("postings", None, show_progress, unit="vector") as advance:
        if held is None:
            batches = (each.documents for each in store.unposted_documents(None))
            centroids = train(batches, stats, parameters, executor, advance)
            store.write_codebook(centroids.codebook)
        else:
            centroids = CentroidCodebook.of(held)
            _check_parameters(centroids.parameters, parameters)
        try:
            assigned = _assign(store, centroids, executor, advance)
        except kayak.CodebookMismatchError as error:
            raise kayak.StoreBusyError(
                f"somebody else has replaced the codebook of store {stats.kind!r} meanwhile ({error}); call again, "
                "which goes on with theirs"
            ) from error
    store.index_postings()
    counted = store.postings_stats()
    mean = assigned.cosine_sum / assigned.document_count if assigned.document_count else centroids.mean_cosine
    return CentroidReport(
        len(centroids.codebook.vectors),
        assigned.posting_count,
        counted.posted_document_count,
        centroids.codebook.vectors.nbytes + _POSTING_BYTES * assigned.posting_count,
        centroids.built_by,
        time.perf_counter() - start,
        held is None,
        mean,
        centroids.threshold,
        tuple(doc_id for _, doc_id in sorted(assigned.tail)),
        rebuild_reason(
            len(centroids.codebook.vectors),
            (centroids.vector_count, stats.total_vector_count),
            (centroids.mean_cosine, mean),
        ),
        counted.unposted_document_count,
    )


def _check_parameters(held: BuildParameters, given: BuildParameters) -> None:
    if held != given:
        raise kayak.InvalidInputError(
            f"the store keeps centroids made with {held}, but the generator asks for {given}; a database keeps "
            "one set: use a generator of the same parameters, or replace them with rebuild=True"
        )


@attrs.define
class _Assigned:
    """What was written, and how well the centroids fit the documents that it was written for."""

    document_count: int = 0
    posting_count: int = 0
    cosine_sum: float = 0.0
    tail: list[tuple[float, str]] = attrs.field(factory=list)


def _assign(
    store: PostingsStore, centroids: CentroidCodebook, executor: kayak.Executor, advance: Callable[[int], object]
) -> _Assigned:
    """Write the postings of all documents that have none."""
    codebook = centroids.codebook
    kernels = centroid_kernels(executor, codebook.vectors)
    done = _Assigned()
    waiting: list[kayak.DocumentPostings] = []
    for batch in store.unposted_documents(codebook.identity):
        postings, fit = _postings_of(batch, kernels, len(codebook.vectors))
        waiting.append(postings)
        if sum(len(each.terms) for each in waiting) >= _TERMS_AT_A_TIME:
            store.write_postings(codebook.identity, _joined(waiting))
            waiting = []
        done.document_count += len(fit)
        done.posting_count += len(postings.terms)
        done.cosine_sum += float(fit.sum(dtype=np.float64))
        bad = np.flatnonzero(fit < centroids.threshold)
        done.tail += [(float(fit[number]), postings.doc_ids[number]) for number in bad.tolist()]
        advance(batch.documents.total_vector_count)
    if waiting:
        store.write_postings(codebook.identity, _joined(waiting))
    return done


def _joined(parts: Sequence[kayak.DocumentPostings]) -> kayak.DocumentPostings:
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return kayak.DocumentPostings(
        tuple(doc_id for part in parts for doc_id in part.doc_ids),
        tuple(revision for part in parts for revision in part.revisions),
        offsets,
        np.concatenate([part.terms for part in parts]),
    )


def _postings_of(
    batch: kayak.UnpostedDocuments, kernels: kayak.CentroidKernels, centroid_count: int
) -> tuple[kayak.DocumentPostings, Float32Vector]:
    block = batch.documents.block
    counts = np.diff(block.offsets)
    vectors = kernel_vectors(block, slice(None))
    codes, similarities = kernels.assign(vectors)
    documents, terms = distinct_pairs(np.arange(len(counts)), counts, codes, centroid_count)
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(np.bincount(documents, minlength=len(counts)), out=offsets[1:])
    postings = kayak.DocumentPostings(batch.documents.doc_ids, batch.revisions, offsets, terms)
    return postings, document_cosines(vectors, similarities, counts)
