"""MaxSim inside LanceDB: exact where it scans, approximate where the vectors column has an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kayak
import numpy as np

from kayak_lancedb.filters import ids_predicate, to_sql
from kayak_lancedb.schema import ID, METADATA, VECTORS

if TYPE_CHECKING:
    from lancedb.table import LanceTable

_DISTANCE = "_distance"


def selection_predicate(where: kayak.Where | None, doc_ids: tuple[str, ...] | None) -> str | None:
    """Return the SQL predicate of a selection, or None where it is everything."""
    parts = [] if where is None else [to_sql(where, METADATA)]
    parts += [] if doc_ids is None else [ids_predicate(doc_ids)]
    return " AND ".join(parts) or None


def vector_index_name(table: LanceTable) -> str | None:
    """Return the name of the index over the token vectors, or None where there is none."""
    return next((index.name for index in table.list_indices() if list(index.columns) == [VECTORS]), None)


def nearest(table: LanceTable, search: kayak.CandidateSearch, index: str | None) -> kayak.FoundCandidates:
    """Return the `k` documents of highest MaxSim among those selected.

    LanceDB's distance is the sum, over the query's vectors, of one minus the best similarity, so the score is the
    number of query vectors minus it. Documents of equal score come in the order of their ids.
    """
    query: Any = table.search(search.vectors, vector_column_name=VECTORS)
    query = query.distance_type("dot" if index is None else "cosine").select([ID, _DISTANCE]).limit(search.k)
    predicate = selection_predicate(search.where, search.doc_ids)
    if predicate is not None:
        query = query.where(predicate, prefilter=True)
    found = query.to_arrow()
    ids = np.array(found.column(ID).to_pylist(), dtype=object)
    distances = found.column(_DISTANCE).to_numpy().astype(np.float64)
    best = np.lexsort((ids, distances)) if len(ids) else np.empty(0, dtype=np.int64)
    return kayak.FoundCandidates(
        tuple(ids[best].tolist()),
        len(search.vectors) - distances[best],
        bytes_read=found.nbytes,
        notes=() if index is None else (f"approximate: cosine MaxSim through LanceDB's index {index!r}",),
    )
