"""How failures of SQLite and of the file system become the store's own exceptions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kayak.errors import (
    InvalidInputError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StorePathError,
)

RESTORE = "Restore the folder from a backup, or build the store again."

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PATH = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def corrupt(path: Path, problem: str, remedy: str = RESTORE) -> StoreCorruptError:
    """Describe stored bytes that are not what was written."""
    return StoreCorruptError(f"{path} is damaged: {problem}. {remedy}")


@contextmanager
def catalog_errors(catalog: Path, busy_timeout: float) -> Iterator[None]:
    """Turn SQLite's exceptions into the store's.

    Raises:
        StoreBusyError: another connection held the catalog for longer than the timeout.
        StorePathError: the catalog cannot be opened, read or written; the disk is full.
        StoreCorruptError: the catalog is malformed.
        InvalidInputError: a text or a metadata row is larger than SQLite can store.
    """
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):  # a mistake in this package
        raise
    except sqlite3.DataError as error:
        raise InvalidInputError(f"a value is too large for the catalog ({error}); split the document") from error
    except UnicodeDecodeError as error:  # SQLite quotes a damaged schema in its message
        raise corrupt(catalog, "SQLite cannot read it") from error
    except sqlite3.Error as error:
        raise _translated(error, catalog, busy_timeout) from error


def _translated(error: sqlite3.Error, catalog: Path, busy_timeout: float) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)  # absent where the sqlite3 module itself found the fault
    primary = None if code is None else code & 0xFF
    if primary in _BUSY:
        return StoreBusyError(
            f"another process or thread held {catalog} for longer than busy_timeout={busy_timeout:g} s. "
            "Try again, or open the store with a longer busy_timeout."
        )
    if primary in _PATH and code != sqlite3.SQLITE_IOERR_SHORT_READ:
        return StorePathError(
            f"cannot use {catalog}: {error}. Check that the folder exists, is writable and has free space."
        )
    return corrupt(catalog, str(error))


@contextmanager
def file_errors(path: Path, action: str) -> Iterator[None]:
    """Turn an `OSError` into a `StorePathError` that names the path."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StorePathError(
            f"cannot {action} {path}: {error.strerror or error}. Check the path, its permissions and free space."
        ) from error
