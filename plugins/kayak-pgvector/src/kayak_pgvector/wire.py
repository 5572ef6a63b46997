"""PostgreSQL's binary formats of `vector` and `vector[]`, and rows of a binary COPY."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import attrs
import kayak
import numpy as np
import psycopg
from kayak.typing import Float32Matrix, Float32Vector
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format
from psycopg.types.numeric import Int8Dumper

_ARRAY_HEADER = struct.Struct(">iiIii")  # dimensions, has nulls, element type, elements, lower bound
_VECTOR_HEADER = struct.Struct(">hh")  # dimension, unused
_FIELD_COUNT = struct.Struct(">h")
_FIELD_LENGTH = struct.Struct(">i")
_COPY_HEADER_BYTES = 19


@attrs.frozen(eq=False)
class VectorValue:
    """One vector as a parameter of type `vector`."""

    values: Float32Vector


@attrs.frozen(eq=False)
class VectorArray:
    """The rows of a matrix as a parameter of type `vector[]`."""

    matrix: Float32Matrix


def vector_adapters(vector_oid: int, array_oid: int) -> AdaptersMap:
    """Return psycopg's default adapters and those of the two classes above, in a map that no connection shares."""

    class VectorDumper(Dumper):
        format = Format.BINARY
        oid = vector_oid

        def dump(self, obj: VectorValue) -> Buffer:
            return _VECTOR_HEADER.pack(len(obj.values), 0) + obj.values.astype(">f4").tobytes()

    class VectorArrayDumper(Dumper):
        format = Format.BINARY
        oid = array_oid

        def dump(self, obj: VectorArray) -> Buffer:
            return _array_bytes(obj.matrix, vector_oid)

    adapters = default_adapters()
    adapters.register_dumper(VectorValue, VectorDumper)
    adapters.register_dumper(VectorArray, VectorArrayDumper)
    return adapters


def default_adapters() -> AdaptersMap:
    """Return psycopg's default adapters, whatever the program has registered globally or on a connection."""
    adapters = AdaptersMap(types=psycopg.postgres.types)
    psycopg.postgres.register_default_adapters(adapters)
    adapters.register_dumper(int, Int8Dumper)  # one type for all integers, so one prepared statement
    return adapters


@lru_cache(maxsize=16)
def _element_dtype(dim: int) -> np.dtype[Any]:
    return np.dtype([("length", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("values", ">f4", (dim,))])


def array_byte_size(token_count: int, dim: int) -> int:
    """Return the bytes of a `vector[]` value, on the wire and (but for a few) on disk."""
    return _ARRAY_HEADER.size + token_count * (8 + 4 * dim)


def _array_bytes(matrix: Float32Matrix, vector_oid: int) -> bytearray:
    count, dim = matrix.shape
    data = bytearray(array_byte_size(count, dim))
    _ARRAY_HEADER.pack_into(data, 0, 1, 0, vector_oid, count, 1)
    elements = np.frombuffer(data, _element_dtype(dim), offset=_ARRAY_HEADER.size)
    elements["length"] = 4 + 4 * dim
    elements["dim"] = dim
    elements["values"] = matrix
    return data


def copy_fields(row: Buffer, *, first: bool) -> list[memoryview | None]:
    """Return the fields of one row of a binary COPY; none for its end mark.

    Args:
        row: the row.
        first: whether it is the first one, which carries the header.
    """
    data = memoryview(row)
    position = _COPY_HEADER_BYTES if first else 0
    (count,) = _FIELD_COUNT.unpack_from(data, position)
    position += _FIELD_COUNT.size
    fields: list[memoryview | None] = []
    for _ in range(count):
        (length,) = _FIELD_LENGTH.unpack_from(data, position)
        position += _FIELD_LENGTH.size
        fields.append(None if length < 0 else data[position : position + length])
        position += max(length, 0)
    return fields


def read_array(data: memoryview | None, place: str) -> Float32Matrix:
    """Return a `vector[]` value, in binary format, as a float32 matrix.

    Args:
        data: the value.
        place: what messages call the table.

    Raises:
        StoreCorruptError: the value is null, empty, or its vectors differ in dimension.
    """
    if data is None or len(data) <= _ARRAY_HEADER.size:
        raise foreign(place)
    count = _ARRAY_HEADER.unpack_from(data)[3]
    dim = _VECTOR_HEADER.unpack_from(data, _ARRAY_HEADER.size + _FIELD_LENGTH.size)[0]
    if dim < 1 or len(data) != array_byte_size(count, dim):
        raise foreign(place)
    # Two words, a length and a dimension, come before the values of each vector. Swapping all words at once is
    # faster than reading the values from between them.
    words = np.frombuffer(data, ">u4", offset=_ARRAY_HEADER.size).astype(np.uint32).reshape(count, 2 + dim)
    if (words[:, 1] != dim << 16).any():
        raise foreign(place)
    return words[:, 2:].view(np.float32)


class BlockBuilder:
    """Collects matrices in one array, into which each is copied while it is in the processor's cache.

    Args:
        byte_size: how many bytes of vectors are expected; the array grows if there are more.
        place: what messages call the table.
    """

    def __init__(self, byte_size: int, place: str) -> None:
        self._expected = byte_size
        self._place = place
        self._vectors: Float32Matrix | None = None
        self._bounds = [0]

    def add(self, array: memoryview | None) -> None:
        """Append the `vector[]` value of one document.

        Raises:
            StoreCorruptError: Kayak did not write it, or it has another dimension than the one before.
        """
        matrix = read_array(array, self._place)
        start, dim = self._bounds[-1], matrix.shape[1]
        stop = start + len(matrix)
        if self._vectors is None:
            self._vectors = np.empty((max(stop, self._expected // (4 * dim)), dim), dtype=np.float32)
        if dim != self._vectors.shape[1]:
            raise foreign(self._place)
        if stop > len(self._vectors):
            self._vectors = np.concatenate([self._vectors[:start], np.empty((stop, dim), dtype=np.float32)])
        self._vectors[start:stop] = matrix
        self._bounds.append(stop)

    def block(self) -> kayak.IndexBlock | None:
        """Return what was collected, read-only; None where that is nothing."""
        if self._vectors is None:
            return None
        vectors = self._vectors[: self._bounds[-1]]
        offsets = np.array(self._bounds, dtype=np.int64)
        vectors.flags.writeable = offsets.flags.writeable = False
        return kayak.IndexBlock(offsets, vectors)


def foreign(place: str) -> kayak.StoreCorruptError:
    """Describe token vectors that Kayak did not write."""
    return kayak.StoreCorruptError(
        f"{place} holds token vectors that Kayak did not write: null, empty, or of several dimensions. Find the rows "
        "where cardinality(token_vectors) differs from token_count, and delete or upsert those documents."
    )
