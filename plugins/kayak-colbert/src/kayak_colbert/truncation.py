"""Counts the texts of which a model reads only the beginning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import attrs

from kayak_colbert.texts import Side

_REMEDIES = {"query": "shorten it", "document": "split such documents into passages"}


@attrs.define
class Truncation:
    """How many texts were cut, and a warning for the first of each side.

    Attributes:
        documents: documents that were cut.
        queries: queries that were cut.
    """

    documents: int = 0
    queries: int = 0

    def count(self, lengths: Sequence[int], limit: int | None, side: Side, names: Sequence[str]) -> None:
        """Count the texts that are longer than the model reads.

        Args:
            lengths: tokens of each text.
            limit: tokens that the model reads; None means all.
            side: whose texts they are.
            names: what to call each text.
        """
        cut = [place for place, length in enumerate(lengths) if limit is not None and length > limit]
        if not cut:
            return
        counter = "queries" if side == "query" else "documents"
        before = getattr(self, counter)
        setattr(self, counter, before + len(cut))
        if not before:
            first = cut[0]
            warnings.warn(
                f"{names[first]} has {lengths[first]} tokens, and the model reads the first {limit}; "
                f"{_REMEDIES[side]}, or raise {side}_length= if the model allows it. From now on such texts are only "
                f"counted, in truncated_{counter}.",
                stacklevel=4,
            )
