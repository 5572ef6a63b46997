"""The collection: how it is made, and how an existing one is recognised or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import kayak
from qdrant_client import models

from kayak_qdrant.connection import Connection
from kayak_qdrant.errors import status_of
from kayak_qdrant.payloads import POSTED

VECTOR_NAME = "tokens"
TERMS_NAME = "terms"
COUNT_FIELD = "vector_count"
FORMAT = 1
_FORMAT_KEY = "kayak_format"
_ENCODER_KEY = "kayak_encoder"
_INDEXES = {
    "terms": models.PayloadSchemaType.KEYWORD,
    "has": models.PayloadSchemaType.KEYWORD,
    COUNT_FIELD: models.PayloadSchemaType.INTEGER,
    POSTED: models.PayloadSchemaType.KEYWORD,
}


@attrs.frozen
class CollectionState:
    """What an existing collection is.

    Attributes:
        vector_dim: dimension of its token vectors.
        encoder: fingerprint of the encoder, where it is known.
        is_marked: whether Kayak has marked the collection as its own.
        indexed_fields: payload fields with an index.
        keeps_terms: whether it has the sparse vectors of postings.
    """

    vector_dim: int
    encoder: str | None
    is_marked: bool
    indexed_fields: frozenset[str]
    keeps_terms: bool


def inspect_collection(connection: Connection) -> CollectionState | None:
    """Look at the collection; return None where there is none.

    Raises:
        StoreSchemaError: it is not a collection that Kayak could have made; the message spells out each difference.
        StoreVersionError: a newer version of Kayak made it.
    """
    info = _read(connection)
    if info is None:
        return None
    metadata = info.config.metadata or {}
    if metadata.get(_FORMAT_KEY, FORMAT) != FORMAT:
        raise kayak.StoreVersionError(
            f"collection {connection.collection_name!r} of {connection.place} has format "
            f"{metadata[_FORMAT_KEY]!r}; this version of kayak-qdrant reads format {FORMAT}. Upgrade kayak-qdrant"
        )
    is_marked = _FORMAT_KEY in metadata
    differences = [*_vector_differences(info.config.params.vectors)]
    if not is_marked and info.points_count:
        differences.append(f"it holds {info.points_count} points that Kayak did not write")
    if differences:
        raise kayak.StoreSchemaError(
            f"collection {connection.collection_name!r} of {connection.place} is not one that Kayak can use: "
            f"{'; '.join(differences)}. Nothing was changed; give another collection_name"
        )
    vectors = info.config.params.vectors
    dim = vectors[VECTOR_NAME].size if isinstance(vectors, dict) else 0
    keeps_terms = TERMS_NAME in (info.config.params.sparse_vectors or {})
    indexed = frozenset(info.payload_schema or ())
    return CollectionState(dim, metadata.get(_ENCODER_KEY), is_marked, indexed, keeps_terms)


def prepare_collection(connection: Connection, dim: int, encoder: str | None) -> CollectionState:
    """Create the collection, or take over an empty one that somebody prepared, and index its payload.

    Raises:
        InvalidInputError: the collection has another dimension.
        StoreSchemaError: see `inspect_collection`.
    """
    state = inspect_collection(connection)
    if state is None:
        _create(connection, dim, encoder)
        state = inspect_collection(connection)
    if state is None:
        raise kayak.StoreError(
            f"collection {connection.collection_name!r} of {connection.place} was deleted while it was created. Write "
            "again once nobody deletes it"
        )
    if state.vector_dim != dim:
        raise kayak.InvalidInputError(
            f"the documents have vectors of dimension {dim}, but collection {connection.collection_name!r} of "
            f"{connection.place} was made for dimension {state.vector_dim}; use another collection_name"
        )
    if not state.is_marked or (encoder is not None and state.encoder is None):
        update_metadata(connection, encoder)
    missing = {name: kind for name, kind in _INDEXES.items() if name not in state.indexed_fields}
    create_indexes(connection, missing)
    return attrs.evolve(state, is_marked=True, indexed_fields=state.indexed_fields | missing.keys())


def update_metadata(connection: Connection, encoder: str | None) -> None:
    """Mark the collection as Kayak's, and remember the encoder."""
    with connection.request():
        connection.client.update_collection(connection.collection_name, metadata=_metadata(encoder))


def create_indexes(connection: Connection, fields: Mapping[str, models.PayloadSchemaType]) -> None:
    """Index payload fields, so that filters need not read the payload of every document; nothing in local mode."""
    if connection.is_local:
        return
    for field, kind in fields.items():
        with connection.request():
            connection.client.create_payload_index(connection.collection_name, field, field_schema=kind, wait=True)


def _create(connection: Connection, dim: int, encoder: str | None) -> None:
    # DOT, because COSINE rewrites what is stored. m=0: no HNSW graph over single token vectors, which takes minutes to
    # build and would make the search approximate.
    params = models.VectorParams(
        size=dim,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        hnsw_config=models.HnswConfigDiff(m=0),
    )
    with connection.request():
        try:
            connection.client.create_collection(
                connection.collection_name,
                vectors_config={VECTOR_NAME: params},
                sparse_vectors_config={TERMS_NAME: models.SparseVectorParams()},
                metadata=_metadata(encoder),
            )
        except Exception as error:
            if not exists_already(error):
                raise


def exists_already(error: Exception) -> bool:
    """Whether another writer was first; servers say so in different ways."""
    return status_of(error) == "ALREADY_EXISTS" or "already exists" in str(error)


def _metadata(encoder: str | None) -> dict[str, Any]:
    return {_FORMAT_KEY: FORMAT} | ({} if encoder is None else {_ENCODER_KEY: encoder})


def _read(connection: Connection) -> models.CollectionInfo | None:
    client, name = connection.client, connection.collection_name
    with connection.request():
        if connection.is_local and not client.collection_exists(name):
            return None
        try:
            return client.get_collection(name)
        except Exception as error:
            if status_of(error) != "NOT_FOUND":
                raise
            return None


def _vector_differences(vectors: object) -> Iterable[str]:
    if not isinstance(vectors, dict):
        yield f"its vectors are unnamed, where one named {VECTOR_NAME!r} is expected"
        return
    for name in sorted(set(vectors) - {VECTOR_NAME}):
        yield f"it has further vectors named {name!r}, which an upsert would delete"
    params = vectors.get(VECTOR_NAME)
    if params is None:
        yield f"it has no vectors named {VECTOR_NAME!r}"
        return
    if params.multivector_config is None:
        yield f"{VECTOR_NAME!r} holds one vector a point, where a multivector is expected"
    if params.distance != models.Distance.DOT:
        yield f"{VECTOR_NAME!r} has distance {params.distance.value}, where {models.Distance.DOT.value} is expected"
    if params.datatype not in {None, models.Datatype.FLOAT32}:
        yield f"{VECTOR_NAME!r} stores {params.datatype.value}, where float32 is expected"
