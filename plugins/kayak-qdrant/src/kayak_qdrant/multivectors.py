"""Token matrices in the protocol buffers of Qdrant's gRPC interface.

A multivector is a message of messages, one a token, each with a packed list of floats. Building and reading it float by
float through Python lists takes most of the time of an upsert or a load. All tokens have one dimension, so all their
headers are equal and the encoded message is a matrix of bytes: header, then the little-endian floats.
"""

from __future__ import annotations

import kayak
import numpy as np
from kayak.typing import Float32Matrix
from qdrant_client import grpc

_LENGTH_DELIMITED_FIELD_1 = b"\x0a"
_FLOAT = np.dtype("<f4")


def to_multivector(matrix: Float32Matrix) -> grpc.MultiDenseVector:
    """Encode float32 of shape (tokens, dimension)."""
    header = np.frombuffer(_header(matrix.shape[1]), dtype=np.uint8)
    encoded = np.empty((len(matrix), len(header) + matrix.shape[1] * _FLOAT.itemsize), dtype=np.uint8)
    encoded[:, : len(header)] = header
    encoded[:, len(header) :] = np.ascontiguousarray(matrix, dtype=_FLOAT).view(np.uint8)
    message = grpc.MultiDenseVector()
    message.ParseFromString(encoded.tobytes())
    return message


def from_multivector(vector: grpc.VectorOutput, dim: int) -> Float32Matrix:
    """Decode float32 of shape (tokens, dimension).

    Raises:
        StoreCorruptError: the vectors have another dimension.
    """
    if vector.WhichOneof("vector") is None:  # how servers sent multivectors before they had a message of their own
        return np.array(vector.data, dtype=np.float32).reshape(-1, dim)
    header = np.frombuffer(_header(dim), dtype=np.uint8)
    size = len(header) + dim * _FLOAT.itemsize
    encoded = np.frombuffer(vector.multi_dense.SerializeToString(), dtype=np.uint8)
    tokens = encoded.reshape(-1, size) if len(encoded) % size == 0 else encoded[:0]
    if not len(tokens) or (tokens[:, : len(header)] != header).any():
        raise kayak.StoreCorruptError(
            f"Qdrant sent token vectors that are not of the collection's dimension {dim}. Write the document again"
        )
    return np.ascontiguousarray(tokens[:, len(header) :]).view(_FLOAT).astype(np.float32, copy=False)


def _header(dim: int) -> bytes:
    """Return the bytes before each token's floats: field and length of its message, then of its list."""
    size = dim * _FLOAT.itemsize
    inner = _LENGTH_DELIMITED_FIELD_1 + _varint(size)
    return _LENGTH_DELIMITED_FIELD_1 + _varint(len(inner) + size) + inner


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
