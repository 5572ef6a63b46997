"""Inverted lists: which documents hold a token vector of a centroid."""

from __future__ import annotations

import attrs
import numpy as np
from kayak.typing import Int32Vector, Int64Vector


@attrs.frozen(eq=False)
class InvertedLists:
    """The documents of each centroid.

    Attributes:
        offsets: int64, centroids + 1; centroid c lists `documents[offsets[c]:offsets[c + 1]]`.
        documents: int32 document numbers, ascending within a list.
        document_count: documents are numbered from 0 to this, exclusive.
    """

    offsets: Int64Vector
    documents: Int32Vector
    document_count: int

    @classmethod
    def from_pairs(
        cls, documents: Int32Vector, codes: Int32Vector, centroid_count: int, document_count: int
    ) -> InvertedLists:
        """Build the lists from distinct pairs of document and centroid, in any order."""
        order = np.lexsort((documents, codes))
        offsets = np.zeros(centroid_count + 1, dtype=np.int64)
        np.cumsum(np.bincount(codes, minlength=centroid_count), out=offsets[1:])
        return cls(offsets, documents[order], document_count)

    def pairs(self) -> tuple[Int32Vector, Int32Vector]:
        """Return the pairs of document and centroid that the lists hold."""
        codes = np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))
        return self.documents, codes

    @property
    def byte_size(self) -> int:
        """Bytes of the lists."""
        return self.offsets.nbytes + self.documents.nbytes


def distinct_pairs(
    documents: Int64Vector, counts: Int64Vector, codes: Int32Vector, centroid_count: int
) -> tuple[Int32Vector, Int32Vector]:
    """Return each document's distinct centroids as pairs of document and centroid, int32.

    Args:
        documents: document numbers, below 2³¹.
        counts: token vectors of each document.
        codes: the centroid of each token vector, document by document.
        centroid_count: how many centroids there are.
    """
    keys = np.repeat(np.arange(len(documents)), counts) * centroid_count + codes
    place, chosen = np.divmod(np.unique(keys), centroid_count)
    return documents[place].astype(np.int32), chosen.astype(np.int32)
