"""Metadata values as Chroma's filters see them.

Chroma compares a number with integers (the number truncated) and with floats at once, and writes floats to text and
back without keeping every bit. So numbers are stored twice: under their own key, for other tools, and under a key of
ours as an integer that compares exactly. Text and booleans compare exactly under their own key.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

RESERVED = "kayak:"
"""Keys of ours start with this."""

_REFUSED = ("#", "$", "chroma:", RESERVED)


def plain_key(key: str) -> str:
    """Return the key under which Chroma holds a value as it is: the metadata key, unless Chroma refuses it."""
    return f"{RESERVED}key:{key}" if not key or key.startswith(_REFUSED) else key


def integer_key(key: str) -> str:
    """Return the key under which integers are compared."""
    return f"{RESERVED}int:{key}"


def float_key(key: str) -> str:
    """Return the key under which floats are compared, as `sortable` integers."""
    return f"{RESERVED}float:{key}"


def sortable(value: float) -> int:
    """Return a signed 64-bit integer that orders as the finite float does; 0.0 and -0.0 give 0."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & (2**63 - 1))


def filter_values(metadata: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return what Chroma holds of a metadata row for filters; null, lists and objects are left to the client."""
    values: dict[str, str | int | float | bool] = {}
    for key, value in metadata.items():
        if isinstance(value, (str, bool, int, float)):
            values[plain_key(key)] = value
        if isinstance(value, float):
            values[float_key(key)] = sortable(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            values[integer_key(key)] = value
    return values
