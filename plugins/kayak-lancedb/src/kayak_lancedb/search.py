"""MaxSim inside LanceDB: exact where it scans, approximate where the vectors column has an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kayak
import numpy as np
import pyarrow as pa

from kayak_lancedb.reading import selection_predicate
from kayak_lancedb.schema import ID, VECTORS

if TYPE_CHECKING:
    from lancedb.table import LanceTable

_DISTANCE = "_distance"


def vector_index_name(table: LanceTable) -> str | None:
    """Return the name of the index over the token vectors, or None where there is none."""
    return next((index.name for index in table.list_indices() if list(index.columns) == [VECTORS]), None)


def nearest(table: LanceTable, search: kayak.CandidateSearch, index: str | None) -> kayak.FoundCandidates:
    """Return the `k` documents of highest MaxSim among those selected, best first; equal scores in order of the ids.

    Where there is an index it is used, unless it finds fewer than `k` documents, or a vector of zeros, which has no
    cosine: then the documents are scanned, and the notes say so.
    """
    if index is None:
        return _ranked(_search(table, search, "dot"), search, ())
    found = _search(table, search, "cosine")
    if found.num_rows < search.k or not np.isfinite(found.column(_DISTANCE).to_numpy()).all():
        note = f"exact scan: LanceDB's index {index!r} found {found.num_rows} of {search.k} candidates, or no cosine"
        return _ranked(_search(table, search, "dot"), search, (note,))
    return _ranked(found, search, (f"approximate: cosine MaxSim through LanceDB's index {index!r}",))


def _search(table: LanceTable, search: kayak.CandidateSearch, distance: str) -> pa.Table:
    query: Any = table.search(search.vectors, vector_column_name=VECTORS)
    query = query.distance_type(distance).select([ID, _DISTANCE]).limit(search.k)
    if distance == "dot":
        query = query.bypass_vector_index()
    predicate = selection_predicate(search.where, search.doc_ids)
    return (query if predicate is None else query.where(predicate, prefilter=True)).to_arrow()


def _ranked(found: pa.Table, search: kayak.CandidateSearch, notes: tuple[str, ...]) -> kayak.FoundCandidates:
    """Turn LanceDB's distance, the sum over the query's vectors of one minus the best similarity, into MaxSim."""
    ids = np.array(found.column(ID).to_pylist(), dtype=object)
    distances = found.column(_DISTANCE).to_numpy().astype(np.float64)
    best = np.lexsort((ids, distances)) if len(ids) else np.empty(0, dtype=np.int64)
    if not np.isfinite(distances).all():
        raise kayak.ScoreOverflowError(
            "a MaxSim score left the range of float32 inside LanceDB, so the order of the candidates means nothing; "
            "scale the vectors down, for example to unit length"
        )
    scores = len(search.vectors) - distances[best]
    return kayak.FoundCandidates(tuple(ids[best].tolist()), scores, bytes_read=found.nbytes, notes=notes)
