"""The value objects of late interaction: queries, documents, indexes, scores and hits."""

from kayak.values.artifacts import ArtifactPart, ArtifactShelf, IndexOrigin, KeepsArtifacts
from kayak.values.blocks import IndexBlock, IndexSlice
from kayak.values.late_documents import LateDocuments, documents
from kayak.values.late_index import LateIndex, hybrid_flat_dim128_index, packed_index
from kayak.values.late_query import LateQuery, flat_query_dim128, query
from kayak.values.late_query_batch import LateQueryBatch, query_batch
from kayak.values.layouts import (
    FLAT_DIM128_LAYOUT,
    HYBRID_FLAT_DIM128_LAYOUT,
    INDEX_LAYOUTS,
    NESTED_LAYOUT,
    PACKED_LAYOUT,
    QUERY_LAYOUTS,
)
from kayak.values.prepared import Prepared
from kayak.values.scores import LateScores, SearchHit

__all__ = [
    "FLAT_DIM128_LAYOUT",
    "HYBRID_FLAT_DIM128_LAYOUT",
    "INDEX_LAYOUTS",
    "NESTED_LAYOUT",
    "PACKED_LAYOUT",
    "QUERY_LAYOUTS",
    "ArtifactPart",
    "ArtifactShelf",
    "IndexBlock",
    "IndexOrigin",
    "IndexSlice",
    "KeepsArtifacts",
    "LateDocuments",
    "LateIndex",
    "LateQuery",
    "LateQueryBatch",
    "LateScores",
    "Prepared",
    "SearchHit",
    "documents",
    "flat_query_dim128",
    "hybrid_flat_dim128_index",
    "packed_index",
    "query",
    "query_batch",
]
