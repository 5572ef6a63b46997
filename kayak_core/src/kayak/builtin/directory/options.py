"""The arguments with which a directory store is opened."""

from __future__ import annotations

import math
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs

from kayak.builtin.directory.schema import Meta, format_version
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.values.coerce import non_negative_int
from kayak.values.element_types import check_vector_dtype

_MAX_TIMEOUT = 2_000_000.0  # SQLite counts milliseconds in 32 bits


def _path(value: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise InvalidTypeError(f"path must be a non-empty string or a Path, got {type(value).__name__} {value!r:.60}")
    if "\0" in str(value):
        raise InvalidInputError(f"path {value!r} holds a NUL character")
    return Path(value).expanduser()


def _vector_dtype(value: Any) -> str | None:
    return None if value is None else check_vector_dtype(value)


def _busy_timeout(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"busy_timeout must be a number of seconds, got {type(value).__name__} {value!r:.60}")
    if not math.isfinite(value) or not 0 <= value <= _MAX_TIMEOUT:
        raise InvalidInputError(f"busy_timeout must lie between 0 and {_MAX_TIMEOUT:.0f} seconds, got {value}")
    return float(value)


def _segment_bytes(value: Any) -> int:
    return non_negative_int(value, "segment_bytes", minimum=1)


def _check_flag(_: object, attribute: attrs.Attribute[bool], value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidTypeError(f"{attribute.name} must be True or False, got {type(value).__name__} {value!r:.60}")


@attrs.frozen
class StoreOptions:
    """Validated arguments of `DirectoryLateStore`."""

    path: Path = attrs.field(converter=_path)
    vector_dtype: str | None = attrs.field(converter=_vector_dtype)
    busy_timeout: float = attrs.field(converter=_busy_timeout)
    segment_bytes: int = attrs.field(converter=_segment_bytes)
    create: bool = attrs.field(validator=_check_flag)
    read_only: bool = attrs.field(validator=_check_flag)

    def new_meta(self) -> Meta:
        """Return the totals of a new store."""
        try:
            created_by = version("kayak-core")
        except PackageNotFoundError:  # run from a source tree that is not installed
            created_by = "unknown"
        vector_dtype = self.vector_dtype or "float32"
        return Meta(format_version(vector_dtype), created_by, vector_dtype)

    def check_vector_dtype(self, stored: str) -> None:
        """Require an explicit `vector_dtype` to be the existing store's.

        Raises:
            InvalidInputError: it is another one.
        """
        if self.vector_dtype not in (None, stored):
            raise InvalidInputError(
                f"the store at {self.path} keeps vectors as {stored}, but vector_dtype={self.vector_dtype!r} was asked "
                "for; open it without vector_dtype, or copy it into a new store"
            )
