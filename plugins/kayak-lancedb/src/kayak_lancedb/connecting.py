"""Where the table lives: a folder, object storage, or a connection that the caller owns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import kayak

from kayak_lancedb.faults import translated
from kayak_lancedb.schema import check_table_name

if TYPE_CHECKING:
    from lancedb.db import DBConnection


@attrs.frozen
class TableLocation:
    """A table's place.

    Attributes:
        connection: an open LanceDB connection.
        table_name: the table's name.
        folder: the local folder of the database, or None where it is not one of this machine's.
    """

    connection: DBConnection
    table_name: str
    folder: Path | None

    def __str__(self) -> str:
        return f"table {self.table_name!r} of {str(self.folder or self.connection.uri)!r}"

    @property
    def table_folder(self) -> Path | None:
        """The local folder that LanceDB keeps the table in."""
        return None if self.folder is None else self.folder / f"{self.table_name}.lance"


def locate(path: Any, table_name: Any, connection: Any, storage_options: Any) -> TableLocation:
    """Validate the arguments with which a store is opened, and connect where no connection is given.

    Raises:
        InvalidTypeError: an argument has another type.
        InvalidInputError: not exactly one of `path` and `connection`, or a bad name or URI.
        StorePathError: the path is a file, or its folder cannot be made.
        StoreError: the object storage cannot be reached.
    """
    name = check_table_name(table_name)
    if (path is None) == (connection is None):
        raise kayak.InvalidInputError(
            "give either path= (a folder, or a URI such as 's3://bucket/late') or connection= (from lancedb.connect), "
            + ("not both" if path is not None else "got neither")
        )
    if connection is None:
        return _connect(path, name, _checked_options(storage_options))
    if storage_options is not None:
        raise kayak.InvalidInputError("storage_options belongs to path=; a connection has its own already")
    return _of_connection(connection, name)


def _of_connection(connection: Any, name: str) -> TableLocation:
    from lancedb.db import LanceDBConnection

    if not isinstance(connection, LanceDBConnection):
        raise kayak.InvalidTypeError(
            f"connection must be what lancedb.connect(...) returns for a folder or object storage, got "
            f"{type(connection).__name__}; asynchronous and LanceDB Cloud connections cannot be used"
        )
    uri = str(connection.uri)
    return TableLocation(connection, name, None if "://" in uri else Path(uri))


def _connect(path: Any, name: str, options: dict[str, str] | None) -> TableLocation:
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise kayak.InvalidTypeError(
            f"path must be a non-empty string or a Path, got {type(path).__name__} {path!r:.60}"
        )
    if "\0" in str(path):
        raise kayak.InvalidInputError(f"path {str(path)!r:.80} holds a NUL character")
    import lancedb

    if isinstance(path, str) and "://" in path:
        if path.startswith("db://"):
            raise kayak.InvalidInputError(
                f"path {path!r:.80} names a LanceDB Cloud database, which this store does not support; use a folder or "
                "object storage ('s3://', 'gs://', 'az://')"
            )
        with translated("connect to", repr(path)):
            return TableLocation(lancedb.connect(path, storage_options=options), name, None)
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise kayak.StorePathError(
            f"{str(folder)!r} cannot be the folder of a LanceDB database: {error.strerror}; give a folder that exists, "
            "or a path at which one can be made"
        ) from error
    with translated("connect to", repr(str(folder))):
        return TableLocation(lancedb.connect(folder, storage_options=options), name, folder)


def _checked_options(options: Any) -> dict[str, str] | None:
    if options is None:
        return None
    if not isinstance(options, Mapping) or not all(isinstance(part, str) for pair in options.items() for part in pair):
        raise kayak.InvalidTypeError(
            "storage_options must be a mapping of strings to strings, such as {'region': 'eu-central-1'}"
        )
    return dict(options)
