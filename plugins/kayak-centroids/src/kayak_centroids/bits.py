"""Small numbers packed into bytes: 2 or 4 bits each."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

ByteMatrix: TypeAlias = npt.NDArray[np.uint8]


def packed_width(dim: int, bits: int) -> int:
    """Return the bytes that hold `dim` numbers of `bits` bits, a divisor of 8."""
    return -(-dim * bits // 8)


def pack(numbers: ByteMatrix, bits: int) -> ByteMatrix:
    """Pack each row of numbers below `2 ** bits` into bytes.

    The lowest bits of the bytes hold the first numbers of the row, as many as there are bytes; the next bits hold the
    next, and so on. Unpacking then moves whole runs of neighbours. Bits that hold no number are 0.

    Args:
        numbers: uint8, shape (rows, dimension).
        bits: 2 or 4.

    Returns:
        uint8 of shape (rows, `packed_width(dimension, bits)`).
    """
    count, dim = numbers.shape
    width = packed_width(dim, bits)
    packed = np.zeros((count, width), dtype=np.uint8)
    for place, first in enumerate(range(0, dim, width)):
        run = numbers[:, first : first + width]
        packed[:, : run.shape[1]] |= run << np.uint8(place * bits)
    return packed


def unpack(packed: ByteMatrix, bits: int, out: npt.NDArray[Any]) -> None:
    """Write the numbers that `pack` packed into `out`, shape (rows, dimension), of any numeric type."""
    width, dim = packed.shape[1], out.shape[1]
    lowest = np.uint8((1 << bits) - 1)
    for place, first in enumerate(range(0, dim, width)):
        run = min(width, dim - first)
        shifted = packed[:, :run] >> np.uint8(place * bits)
        out[:, first : first + run] = shifted & lowest
