"""`copy_store`: moves a corpus from one store to another."""

from __future__ import annotations

import attrs
import numpy as np

from kayak.contracts import LateStore
from kayak.errors import EncoderMismatchError
from kayak.retrieval.progress import progress_bar
from kayak.values import LateDocuments
from kayak.values.coerce import non_negative_int

DEFAULT_COPY_BATCH = 256


@attrs.frozen
class CopyReport:
    """What `copy_store` did.

    Attributes:
        copied: documents written to the target.
        skipped: documents that were there already, equal in vectors, text and metadata.
    """

    copied: int
    skipped: int


def copy_store(
    source: LateStore,
    target: LateStore,
    *,
    batch_size: int = DEFAULT_COPY_BATCH,
    show_progress: bool | None = None,
) -> CopyReport:
    """Copy all documents of one store into another, with texts, metadata and encoder fingerprint.

    Resumable: documents that the target already holds, equal in every part, are not written again, so that calling
    it again after an interruption goes on where it stopped. Documents that only the target holds stay.

    Args:
        source: an open store.
        target: an open store.
        batch_size: documents moved at a time, ≥ 1.
        show_progress: True shows a progress bar, False none; None shows one on a terminal with tqdm installed.

    Raises:
        EncoderMismatchError: the target's documents were encoded by another encoder.
        InvalidInputError: the dimensions differ.
        StoreError: one of the stores cannot be used.
    """
    size = non_negative_int(batch_size, "batch_size", minimum=1)
    fingerprint = _shared_fingerprint(source, target)
    total = source.stats().document_count
    copied = skipped = 0
    with progress_bar("copying", total, show_progress) as advance:
        for batch in source.documents(batch_size=size):
            missing = _not_in(batch, target)
            if missing is not None:
                target.upsert(missing)
                copied += missing.document_count
                if fingerprint is not None:
                    target.set_encoder_fingerprint(fingerprint)
                    fingerprint = None
            skipped += batch.document_count - (0 if missing is None else missing.document_count)
            advance(batch.document_count)
    return CopyReport(copied, skipped)


def _shared_fingerprint(source: LateStore, target: LateStore) -> str | None:
    """Return the fingerprint that the target still has to be given, or None."""
    stores = source.capabilities().stores_encoder_fingerprint, target.capabilities().stores_encoder_fingerprint
    mine = source.encoder_fingerprint() if stores[0] else None
    theirs = target.encoder_fingerprint() if stores[1] else None
    if mine is not None and theirs is not None and mine != theirs:
        raise EncoderMismatchError(
            f"the source's documents were encoded by {mine!r}, the target's by {theirs!r}; copy into another store"
        )
    return mine if stores[1] and theirs is None else None


def _not_in(batch: LateDocuments, target: LateStore) -> LateDocuments | None:
    """Return the documents of the batch that the target lacks or holds differently, or None."""
    present: dict[str, tuple[object, ...]] = {}
    for known in target.documents(doc_ids=batch.doc_ids, batch_size=batch.document_count):
        present.update(_parts(known))
    wanted = _parts(batch)
    keep = [
        number
        for number, doc_id in enumerate(batch.doc_ids)
        if doc_id not in present or not _equal(wanted[doc_id], present[doc_id])
    ]
    if not keep:
        return None
    return batch if len(keep) == batch.document_count else batch.take(keep)


def _parts(batch: LateDocuments) -> dict[str, tuple[object, ...]]:
    texts = batch.texts or (None,) * batch.document_count
    metadata = batch.metadata or ({},) * batch.document_count
    return dict(zip(batch.doc_ids, zip(batch.token_matrices, texts, metadata, strict=True), strict=True))


def _equal(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return one[1:] == other[1:] and np.array_equal(one[0], other[0])  # type: ignore[arg-type]  # token matrices
