"""Public type aliases for code that hands vectors, ids, texts and metadata to Kayak.

Arrays may be NumPy arrays, torch tensors on any device and of any floating dtype, nested Python sequences, or
anything that implements `__array__` or DLPack. Annotate your own functions with these names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = [
    "ArrayInput",
    "DocIdsInput",
    "DocOffsetsInput",
    "DocTextsInput",
    "DocumentMatricesInput",
    "Float32Matrix",
    "Float32Vector",
    "Int32Matrix",
    "Int32Vector",
    "Int64Vector",
    "MetadataFilterInput",
    "MetadataRow",
    "MetadataRowsInput",
    "MetadataValue",
    "QueryBatchInput",
    "QueryTextsInput",
    "SupportsArray",
    "SupportsDLPack",
    "TokenMatrixInput",
    "TokenValuesInput",
    "VectorMatrix",
]

Float32Matrix: TypeAlias = npt.NDArray[np.float32]
"""A float32 array of shape (token vectors, dimension)."""

Float32Vector: TypeAlias = npt.NDArray[np.float32]
"""A float32 array of one axis."""

Int32Matrix: TypeAlias = npt.NDArray[np.int32]
"""An int32 array of two axes."""

Int32Vector: TypeAlias = npt.NDArray[np.int32]
"""An int32 array of one axis: centroids, or document numbers in posting lists."""

Int64Vector: TypeAlias = npt.NDArray[np.int64]
"""An int64 array of one axis: offsets, positions or counts."""

VectorMatrix: TypeAlias = npt.NDArray[np.floating[Any] | np.int8]
"""A stored matrix of token vectors, float32, float16 or int8 codes, shape (token vectors, dimension)."""


@runtime_checkable
class SupportsArray(Protocol):
    """An object that NumPy can read through `__array__`."""

    def __array__(self) -> npt.NDArray[Any]:
        """Return the values as a NumPy array."""


@runtime_checkable
class SupportsDLPack(Protocol):
    """An object that exports its memory through the DLPack protocol."""

    def __dlpack__(self) -> object:
        """Return a DLPack capsule."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the (device type, device id) pair."""


ArrayInput: TypeAlias = Union[npt.NDArray[Any], SupportsArray, SupportsDLPack, Sequence[Any]]
"""Anything that can be read as an array of numbers."""

TokenMatrixInput: TypeAlias = ArrayInput
"""One matrix of token vectors, shape (token vectors ≥ 1, dimension ≥ 1), finite numbers."""

TokenValuesInput: TypeAlias = ArrayInput
"""The same values flattened to one axis, length = token vectors × dimension."""

DocumentMatricesInput: TypeAlias = Union[Sequence[TokenMatrixInput], npt.NDArray[Any]]
"""One token matrix a document; a 3-D array serves where all documents have equally many vectors."""

QueryBatchInput: TypeAlias = Sequence[Any]
"""A sequence of query token matrices or `LateQuery` objects."""

DocIdsInput: TypeAlias = Sequence[str]
"""Document ids: non-empty strings, unique within one collection."""

DocTextsInput: TypeAlias = Sequence[str]
"""One text a document, aligned with the ids."""

QueryTextsInput: TypeAlias = Sequence[str]
"""Query texts."""

DocOffsetsInput: TypeAlias = Union[npt.NDArray[np.integer[Any]], Sequence[int]]
"""Row offsets into a packed token matrix: documents + 1 ascending integers, first 0, last = token vectors."""

MetadataValue: TypeAlias = Union[bool, int, float, str, Sequence["MetadataValue"], Mapping[str, "MetadataValue"], None]
"""A JSON value: integers fit in 64 bits, floats are finite, object keys are strings."""

MetadataRow: TypeAlias = Mapping[str, Any]
"""One document's metadata: string keys to `MetadataValue`s."""

MetadataRowsInput: TypeAlias = Union[Sequence[Union[MetadataRow, None]], None]
"""One metadata row a document (or None for a document without), aligned with the documents."""

MetadataFilterInput: TypeAlias = Union[Mapping[str, Any], None]
"""A `where` filter such as `{"topic": "wings", "year": {"$gte": 1960}}`; None matches every document."""
