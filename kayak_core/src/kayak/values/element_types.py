"""The element types in which token vectors are stored, and the codes of `int8`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kayak.errors import InvalidInputError
from kayak.typing import Float32Matrix, Float32Vector

VECTOR_DTYPES: Final = ("float32", "float16", "int8")
"""Stored element types, from the exact one to the coarsest."""

FLOAT16: Final = "float16"
INT8: Final = "int8"
LARGEST_CODE: Final = 127

_SCALE_BITS = 17  # with the 7 bits of a code, code × scale fits the 24 of a float32: decoding never rounds
_SMALLEST_EXPONENT = -149  # float32 has nothing finer than 2^-149
_LARGEST_SCALE = np.float32(66052 * 2.0**105)  # the greatest of 17 bits whose 127-fold float32 can hold
_CHUNK_VALUES = 1 << 18

Int8Matrix = npt.NDArray[np.int8]


def check_vector_dtype(value: Any) -> str:
    """Return the name of an element type.

    Raises:
        InvalidInputError: it is none that vectors can be stored in.
    """
    if not isinstance(value, str) or value not in VECTOR_DTYPES:
        raise InvalidInputError(f"unknown vector_dtype {value!r}; expected one of {', '.join(VECTOR_DTYPES)}")
    return value


def int8_scales(vectors: npt.NDArray[np.floating[Any]]) -> Float32Vector:
    """Return the scale of each vector's codes.

    Args:
        vectors: finite, shape (vectors, dimension).

    Returns:
        Float32, max|v| / 127 rounded up to 17 significant bits, so that code × scale is exact in float32; 0.0 for a
        vector of zeros.
    """
    peaks = np.abs(vectors).max(axis=1).astype(np.float64) / LARGEST_CODE
    _, exponents = np.frexp(peaks)
    units = np.ldexp(1.0, np.maximum(exponents - _SCALE_BITS, _SMALLEST_EXPONENT))
    scales: Float32Vector = np.minimum(np.ceil(peaks / units) * units, _LARGEST_SCALE).astype(np.float32)
    return scales


def encode_int8(vectors: npt.NDArray[np.floating[Any]]) -> tuple[Int8Matrix, Float32Vector]:
    """Return codes and scales that stand for the vectors: code = round(v / scale), at most 127 in magnitude.

    Each component of `decode_int8` is within half a scale of the vector's.

    Args:
        vectors: finite, shape (vectors, dimension).

    Returns:
        int8 codes of the same shape, and one float32 scale a vector.
    """
    codes = np.empty(vectors.shape, dtype=np.int8)
    scales = np.empty(len(vectors), dtype=np.float32)
    step = max(1, _CHUNK_VALUES // vectors.shape[1])
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step]
        chosen = scales[start : start + step] = int8_scales(part)
        # In float64: rounding v / scale to float32 first could push it over half a code.
        ratios = part / np.where(chosen == 0.0, 1.0, chosen.astype(np.float64))[:, np.newaxis]
        codes[start : start + step] = np.clip(np.rint(ratios), -LARGEST_CODE, LARGEST_CODE)
    return codes, scales


def decode_int8(codes: Int8Matrix, scales: Float32Vector, out: Float32Matrix | None = None) -> Float32Matrix:
    """Return the values that codes stand for: code × scale, float32 of the codes' shape.

    Args:
        codes: int8, shape (vectors, dimension).
        scales: float32, one a vector.
        out: float32 of that shape to write to, instead of a new array.
    """
    values = np.empty(codes.shape, dtype=np.float32) if out is None else out
    np.copyto(values, codes)
    np.multiply(values, scales[:, np.newaxis], out=values)
    return values
