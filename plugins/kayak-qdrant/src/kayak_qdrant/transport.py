"""Documents to and from Qdrant: through the client's own methods, or straight through gRPC, which is faster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix
from qdrant_client import grpc, models

from kayak_qdrant.connection import Connection
from kayak_qdrant.multivectors import from_multivector, to_multivector
from kayak_qdrant.payloads import payload_of, point_id
from kayak_qdrant.schema import VECTOR_NAME


@attrs.frozen(eq=False)
class StoredPoint:
    """One point as it comes back.

    Attributes:
        vectors: float32, shape (tokens, dimension).
        payload: the string fields that were asked for and are there.
    """

    vectors: Float32Matrix
    payload: Mapping[str, str]


class Transport(Protocol):
    """How documents travel.

    Attributes:
        batch_bytes: bytes of vectors, texts and metadata that one request may carry.
    """

    batch_bytes: int

    def upsert(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Write documents with one request, and wait until they can be read."""

    def fetch(self, ids: Sequence[str], fields: Sequence[str], dim: int) -> Iterator[StoredPoint]:
        """Read points with one request; unknown ids are left out."""


def transport_of(connection: Connection) -> Transport:
    """Return the fastest transport that a connection has."""
    return GrpcTransport(connection) if connection.uses_grpc else ClientTransport(connection)


class ClientTransport:
    """Through the client's methods: local mode, and servers over HTTP."""

    # Servers take bodies of up to 32 MiB unless configured otherwise. A float32 takes up to 24 characters as JSON.
    batch_bytes = 4 << 20

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upsert(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Write documents; see `Transport.upsert`."""
        with self._connection.request():
            self._connection.client.upsert(
                self._connection.collection_name,
                [self._point(row) for row in rows],
                wait=True,
                ordering=models.WriteOrdering.STRONG,
            )

    def _point(self, row: kayak.StoredDocument) -> models.PointStruct:
        if not self._connection.is_local:
            return models.PointStruct(
                id=point_id(row.doc_id), vector={VECTOR_NAME: row.vectors.tolist()}, payload=payload_of(row)
            )
        # Validation would turn the array into lists of Python floats, which local mode would also keep on disk: several
        # times slower, and many times the memory when the folder is opened. Local mode checks vectors and copies them.
        return models.PointStruct.model_construct(
            id=point_id(row.doc_id), vector={VECTOR_NAME: row.vectors}, payload=payload_of(row)
        )

    def fetch(self, ids: Sequence[str], fields: Sequence[str], dim: int) -> Iterator[StoredPoint]:
        """Read points; see `Transport.fetch`."""
        with self._connection.request():
            records = self._connection.client.retrieve(
                self._connection.collection_name, ids, with_payload=list(fields), with_vectors=[VECTOR_NAME]
            )
        for record in records:
            vectors: Any = record.vector if isinstance(record.vector, dict) else {}
            matrix = np.array(vectors.get(VECTOR_NAME, ()), dtype=np.float32).reshape(-1, dim)
            yield StoredPoint(matrix, record.payload or {})


class GrpcTransport:
    """Through the gRPC stubs of a client, without a Python object for each number."""

    batch_bytes = 16 << 20

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upsert(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Write documents; see `Transport.upsert`."""
        request = grpc.UpsertPoints(
            collection_name=self._connection.collection_name,
            wait=True,
            points=map(_grpc_point, rows),
            ordering=grpc.WriteOrdering(type=grpc.WriteOrderingType.Strong),
        )
        with self._connection.request():
            self._connection.client.grpc_points.Upsert(request, timeout=self._connection.timeout)

    def fetch(self, ids: Sequence[str], fields: Sequence[str], dim: int) -> Iterator[StoredPoint]:
        """Read points; see `Transport.fetch`."""
        request = grpc.GetPoints(
            collection_name=self._connection.collection_name,
            ids=[grpc.PointId(uuid=each) for each in ids],
            with_payload=grpc.WithPayloadSelector(include=grpc.PayloadIncludeSelector(fields=fields)),
            with_vectors=grpc.WithVectorsSelector(include=grpc.VectorsSelector(names=[VECTOR_NAME])),
        )
        with self._connection.request():
            response = self._connection.client.grpc_points.Get(request, timeout=self._connection.timeout)
        for point in response.result:
            payload = {name: value.string_value for name, value in point.payload.items()}
            vectors = point.vectors.vectors.vectors
            matrix = np.empty((0, dim), np.float32)
            if VECTOR_NAME in vectors:
                matrix = from_multivector(vectors[VECTOR_NAME], dim)
            yield StoredPoint(matrix, payload)


def _grpc_point(row: kayak.StoredDocument) -> grpc.PointStruct:
    vector = grpc.Vector(multi_dense=to_multivector(row.vectors))
    return grpc.PointStruct(
        id=grpc.PointId(uuid=point_id(row.doc_id)),
        vectors=grpc.Vectors(vectors=grpc.NamedVectors(vectors={VECTOR_NAME: vector})),
        payload={name: _grpc_value(value) for name, value in payload_of(row).items()},
    )


def _grpc_value(value: Any) -> grpc.Value:
    """Encode what payloads are made of."""
    if isinstance(value, str):
        return grpc.Value(string_value=value)
    if isinstance(value, int):
        return grpc.Value(integer_value=value)
    if isinstance(value, float):
        return grpc.Value(double_value=value)
    if isinstance(value, list):
        return grpc.Value(list_value=grpc.ListValue(values=map(_grpc_value, value)))
    return grpc.Value(struct_value=grpc.Struct(fields={name: _grpc_value(item) for name, item in value.items()}))
