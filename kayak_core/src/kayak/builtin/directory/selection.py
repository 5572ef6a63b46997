"""Which documents of a snapshot a call is about."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import attrs
import numpy as np

from kayak.builtin.directory.filters_sql import FilterIndexChecks, FilterQuery
from kayak.builtin.directory.snapshot import Snapshot
from kayak.contracts.where import Where, parse_where
from kayak.typing import DocIdsInput, Int64Vector, MetadataFilterInput
from kayak.values.coerce import document_ids


@attrs.frozen
class Selection:
    """A validated choice of documents.

    Attributes:
        doc_ids: the ids to restrict it to, in the order wanted, or None.
        where: the filter, or None.
    """

    doc_ids: tuple[str, ...] | None
    where: Where | None

    @classmethod
    def from_inputs(cls, doc_ids: DocIdsInput | None, where: MetadataFilterInput) -> Selection:
        """Validate what the caller gave.

        Raises:
            InvalidTypeError: ids that are not strings.
            InvalidInputError: a repeated or empty id.
            FilterError: a malformed filter.
        """
        return cls(None if doc_ids is None else document_ids(doc_ids), parse_where(where))

    def numbers(
        self, connection: sqlite3.Connection, snapshot: Snapshot, catalog: Path, checks: FilterIndexChecks
    ) -> Int64Vector | None:
        """Return the numbers of the selected documents in the order wanted, int64; None for all in order."""
        chosen: Int64Vector | None = None
        if self.doc_ids is not None:
            known = [snapshot.numbers[doc_id] for doc_id in self.doc_ids if doc_id in snapshot.numbers]
            chosen = np.array(known, dtype=np.int64)
        if self.where is None:
            return chosen
        matching = FilterQuery(connection, snapshot, catalog, checks).numbers(self.where)
        return matching if chosen is None else chosen[np.isin(chosen, matching)]
