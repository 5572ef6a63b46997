"""Batches of documents: filtered, cut and joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from kayak.contracts.where import Where
from kayak.values import IndexBlock, IndexSlice, LateDocuments
from kayak.values.blocks import gathered_block, offsets_from_counts


def metadata_of(batch: LateDocuments) -> Sequence[Mapping[str, Any]]:
    """Return one metadata row a document, empty ones where the batch carries none."""
    return batch.metadata if batch.metadata is not None else ({},) * batch.document_count


def matching(batches: Iterable[LateDocuments], condition: Where) -> Iterator[LateDocuments]:
    """Yield the documents whose metadata match, leaving batches out where none does."""
    for batch in batches:
        kept = [number for number, row in enumerate(metadata_of(batch)) if condition.matches(row)]
        if kept:
            yield batch if len(kept) == batch.document_count else batch.take(kept)


def rebatched(batches: Iterable[LateDocuments], size: int) -> Iterator[LateDocuments]:
    """Cut and join batches so that all but the last hold `size` documents."""
    parts: list[LateDocuments] = []
    count = 0
    for batch in batches:
        start = 0
        while start < batch.document_count:
            stop = min(batch.document_count, start + size - count)
            parts.append(_part(batch, start, stop))
            count += stop - start
            start = stop
            if count == size:
                yield _joined(parts)
                parts, count = [], 0
    if parts:
        yield _joined(parts)


def _part(batch: LateDocuments, start: int, stop: int) -> LateDocuments:
    if stop - start == batch.document_count:
        return batch
    whole, bounds = batch.block, batch.block.offsets[start : stop + 1]
    rows = slice(bounds[0], bounds[-1])
    scales = None if whole.scales is None else whole.scales[rows]
    block = IndexBlock(offsets_from_counts(np.diff(bounds)), whole.vectors[rows], None, scales)
    texts, metadata = batch.texts, batch.metadata
    return LateDocuments(
        batch.doc_ids[start:stop], block, texts and texts[start:stop], metadata and metadata[start:stop]
    )


def _joined(parts: list[LateDocuments]) -> LateDocuments:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(part.document_count for part in parts)])
    block = gathered_block(
        [IndexSlice(part.block, None, np.arange(*span)) for part, span in zip(parts, pairwise(starts), strict=True)]
    )
    texts = None
    if any(part.texts is not None for part in parts):
        texts = tuple(text for part in parts for text in part.texts or (None,) * part.document_count)
    metadata = tuple(row for part in parts for row in metadata_of(part))
    return LateDocuments(tuple(doc_id for part in parts for doc_id in part.doc_ids), block, texts, metadata)
