"""SQLite connections of one store object: one for each thread that is inside a call, none held across a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kayak.builtin.directory.faults import catalog_errors
from kayak.contracts.store_checks import closed_error
from kayak.errors import StorePathError

_KEPT_IDLE = 8
_LOG_PAGES = 4000  # pages that many writes change are copied into the catalog once


class ConnectionPool:
    """Lends connections to the catalog.

    Args:
        catalog: the SQLite file.
        busy_timeout: seconds to wait for another writer.
        read_only: never write; needs no write permission.
        kind: the store's kind, for messages.
    """

    def __init__(self, catalog: Path, *, busy_timeout: float, read_only: bool, kind: str) -> None:
        self._catalog = catalog
        self._busy_timeout = busy_timeout
        self._read_only = read_only
        self._kind = kind
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        _POOLS.add(self)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection in autocommit mode.

        Raises:
            StoreClosedError: the pool is closed.
            StoreError: the catalog cannot be opened, or SQLite failed inside the block.
        """
        with self._lock:
            if self._closed:
                raise closed_error(self._kind)
            connection = self._idle.pop() if self._idle else None
        with catalog_errors(self._catalog, self._busy_timeout):
            if connection is None:
                connection = self._open()
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except BaseException:
                _discard(connection)
                raise
        self._take_back(connection)

    @contextmanager
    def transaction(self, mode: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction: committed at the end, rolled back by an exception.

        Args:
            mode: "DEFERRED" for readers, "IMMEDIATE" for the one writer.
        """
        with self.connection() as connection:
            connection.execute(f"BEGIN {mode}")
            yield connection

    def check_open(self) -> None:
        """Raise `StoreClosedError` if the pool is closed."""
        if self._closed:
            raise closed_error(self._kind)

    def close(self) -> None:
        """Close the connections that nobody uses; those in use are closed when they come back."""
        with self._lock:
            self._closed = True
            self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that nobody uses; the caller holds the lock."""
        while self._idle:
            self._idle.pop().close()

    def _take_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        if not self._read_only:
            connection = self._connect("mode=rw")
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            except BaseException:
                connection.close()
                raise
            return connection
        return self._open_read_only()

    def _open_read_only(self) -> sqlite3.Connection:
        connection = self._connect("mode=ro")
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        else:
            return connection
        # Write-ahead logging needs files beside the catalog. Where they cannot be made, nobody can be writing
        # through this mount either, and a catalog without a log is complete in itself.
        log = self._catalog.with_name(self._catalog.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise StorePathError(
                f"{self._catalog.parent} was not closed cleanly and lies in a read-only place; open it once where it "
                "can be written"
            )
        return self._connect("mode=ro&immutable=1")

    def _connect(self, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._catalog.absolute().as_uri()}?{options}",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def before_fork(self) -> None:
        """Leave nothing that a child could inherit; see the end of the module."""
        self._lock.acquire()
        self.close_idle()

    def after_fork(self) -> None:
        """Resume, in the parent and in the child."""
        self._lock.release()


def _discard(connection: sqlite3.Connection) -> None:
    """Close a connection whose block failed; an open transaction is rolled back."""
    connection.close()


_POOLS: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()
_FORKING: list[ConnectionPool] = []


def _before_fork() -> None:
    for pool in list(_POOLS):
        pool.before_fork()
        _FORKING.append(pool)


def _after_fork() -> None:
    while _FORKING:
        _FORKING.pop().after_fork()


if hasattr(os, "register_at_fork"):
    # SQLite connections must not cross a fork: file locks do not, and closing an inherited connection could
    # checkpoint the log under the parent. Idle ones are closed first; both sides open new ones when needed.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
