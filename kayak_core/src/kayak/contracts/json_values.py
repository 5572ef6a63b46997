"""JSON values: what metadata and filter operands may be, and when two of them are equal."""

from __future__ import annotations

import datetime as dt
import math
import reprlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

import numpy as np

from kayak.errors import FilterError
from kayak.values.coerce import is_encodable

__all__ = [
    "BINARY_TYPES",
    "MAX_JSON_DEPTH",
    "JsonCopier",
    "json_identity",
    "normalize_json_value",
    "short_repr",
]

MAX_JSON_DEPTH = 32
"""Levels of nested objects and lists that a value may have; a metadata row itself is the first."""

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
BINARY_TYPES = (bytes, bytearray, memoryview)
_DATES = (dt.date, dt.time, dt.timedelta, np.datetime64, np.timedelta64)


class _ShortRepr(reprlib.Repr):
    """Bounded `repr` for messages, which also survives integers too long for Python to print."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        """Return the digits, or the size where there would be hundreds of them."""
        return repr(x) if x.bit_length() <= 128 else f"<integer of {x.bit_length()} bits>"


short_repr: Callable[[object], str] = _ShortRepr().repr
"""A bounded `repr` for error messages."""


def _remedy(value: object) -> str:
    """Return what to do instead of handing over a value of this type."""
    if isinstance(value, _DATES):
        return "Write dates and times as ISO 8601 strings (`isoformat()`), which also sort by time."
    if isinstance(value, BINARY_TYPES):
        return "Decode bytes to a string."
    if isinstance(value, np.ndarray):
        return "Convert arrays with `.tolist()`."
    if isinstance(value, AbstractSet):
        return "Write sets as lists."
    return "Use null, a boolean, a number, a string, a list or an object with string keys."


class JsonCopier:
    """Copies one value into plain JSON types, and knows where it is when something is wrong."""

    def __init__(self, subject: Callable[[], str], *, reserved_keys: bool) -> None:
        self._subject = subject
        self._reserved_keys = reserved_keys
        self._path: list[str | int] = []
        self._open: list[int] = []

    def copy(self, value: object) -> Any:
        """Return `value` as plain JSON types that share nothing with it."""
        if value is None or value is True or value is False:
            return value
        exact = self._EXACT_KINDS.get(type(value))
        if exact is not None:
            return exact(self, value)
        for kinds, copy_kind in self._KINDS:
            if isinstance(value, kinds):
                return copy_kind(self, value)
        raise self._unsupported(value)

    def _error(self, problem: str) -> FilterError:
        path = "".join(f"[{short_repr(step)}]" for step in self._path)
        return FilterError(f"{self._subject()}{path} {problem}")

    def _unsupported(self, value: object) -> FilterError:
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        return self._error(f"has the type {name}, which JSON cannot hold. {_remedy(value)}")

    def _text(self, value: str) -> str:
        if not is_encodable(value):
            raise self._error(
                f"is {short_repr(value)}, which has a lone surrogate and cannot be written as UTF-8. "
                'Repair the text, for example with `text.encode("utf-8", "replace").decode()`.'
            )
        return value if type(value) is str else str.__str__(value)

    def _integer(self, value: int) -> int:
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise self._error(
                f"is {short_repr(int.__int__(value))}, outside signed 64-bit integers. "
                "Write it as a string, or as a float if rounding is acceptable."
            )
        return value if type(value) is int else int.__int__(value)

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise self._error(f"is {value!r}; numbers must be finite. Leave the key out, or write null.")
        return float.__float__(value)

    def _numpy_scalar(self, value: np.generic | np.ndarray[Any, Any]) -> Any:
        if isinstance(value, np.ndarray):
            if value.ndim or value.dtype.kind not in "biufU":
                raise self._unsupported(value)
            return self.copy(value[()])
        if value.dtype.kind in "biu":
            return self.copy(value.item())
        if isinstance(value, np.floating):
            number = self._finite(float(value))
            if number != value:
                raise self._error(
                    f"is {value!s}, which a 64-bit float cannot hold exactly. Round it with `float()` first."
                )
            return number
        raise self._unsupported(value)

    def _enter(self, container: object) -> None:
        if id(container) in self._open:
            raise self._error("contains itself; JSON has no cycles. Copy the part that is meant.")
        if len(self._open) >= MAX_JSON_DEPTH:
            raise self._error(f"nests deeper than {MAX_JSON_DEPTH} levels. Flatten the value.")
        self._open.append(id(container))

    def _object(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        self._enter(value)
        result: dict[str, Any] = {}
        for raw_key, item in value.items():
            key = self._key(raw_key, first=len(self._open) == 1)
            if key in result:
                raise self._error(f"has the key {short_repr(key)} twice, in two string types. Keep one of them.")
            self._path.append(key)
            result[key] = self.copy(item)
            self._path.pop()
        self._open.pop()
        return result

    def _key(self, key: object, *, first: bool) -> str:
        if not isinstance(key, str):
            raise self._error(f"has the key {short_repr(key)} of type {type(key).__name__}. Keys must be strings.")
        if not is_encodable(key):
            raise self._error(
                f"has the key {short_repr(key)}, which has a lone surrogate and cannot be written as UTF-8. "
                "Rename the key."
            )
        if first and self._reserved_keys and key.startswith("$"):
            raise self._error(
                f"has the key {short_repr(key)}. Keys that start with '$' are reserved for the operators of "
                "`where` filters, which could not address them. Rename the key."
            )
        return key if type(key) is str else str.__str__(key)

    def _list(self, value: Sequence[Any]) -> list[Any]:
        self._enter(value)
        result = []
        for position, item in enumerate(value):
            self._path.append(position)
            result.append(self.copy(item))
            self._path.pop()
        self._open.pop()
        return result

    def _reject(self, value: object) -> Any:
        raise self._unsupported(value)

    _EXACT_KINDS: ClassVar[Mapping[type, Callable[[JsonCopier, Any], Any]]] = {
        str: _text,
        int: _integer,
        float: _finite,
        list: _list,
        dict: _object,
    }
    # The order decides: np.float64 is a float, np.str_ a str, np.bytes_ a bytes, and bytes are sequences.
    _KINDS: ClassVar[tuple[tuple[Any, Callable[[JsonCopier, Any], Any]], ...]] = (
        (str, _text),
        (int, _integer),
        (float, _finite),
        (BINARY_TYPES, _reject),
        ((np.generic, np.ndarray), _numpy_scalar),
        (Mapping, _object),
        (Sequence, _list),
    )


def normalize_json_value(value: object, *, subject: str) -> Any:
    """Copy one JSON value into plain types: the rules that hold for metadata and for filter operands.

    Args:
        value: Null, a boolean, a number, a string, a sequence or a mapping with string keys. NumPy scalars
            and subclasses of the built-in types become the built-in type; tuples become lists.
        subject: What error messages call the value, for example `where['year']['$eq']`.

    Returns:
        A copy made of `dict`, `list`, `str`, `int`, `float`, `bool` and `None`.

    Raises:
        FilterError: The value is not JSON: NaN or infinite, an integer outside 64 bits, text that is not
            UTF-8, an unsupported type, nested too deeply or in a cycle. The message names the place.
    """
    return JsonCopier(lambda: subject, reserved_keys=False).copy(value)


_IDENTICAL = frozenset({int, float, str, type(None)})


def json_identity(value: object) -> Hashable:
    """Return a hashable stand-in for a JSON value; two values are equal where their stand-ins are.

    Integers and floats compare exactly as numbers (1 is 1.0, 2**53 + 1 is not 2.0**53); a boolean is not a
    number; lists compare in order and objects by keys, as wholes.
    """
    kind = type(value)
    if kind in _IDENTICAL:
        return value
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, (list, tuple)):
        return ("list", tuple(map(json_identity, value)))
    if isinstance(value, dict):
        return ("object", frozenset((key, json_identity(item)) for key, item in value.items()))
    return json_identity(normalize_json_value(value, subject="metadata value"))
