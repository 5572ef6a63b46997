"""Where connections come from: a connection string, the caller's pool, or the caller's connection."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import kayak
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

AnyConnection: TypeAlias = psycopg.Connection[Any]

CONNECT_SECONDS = 10
MAX_IDLE = 4
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

_locks: WeakKeyDictionary[AnyConnection, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


class ConnectionPool(Protocol):
    """What is used of a `psycopg_pool.ConnectionPool`."""

    def connection(self) -> AbstractContextManager[AnyConnection]:
        """Lend a connection."""


class ConnectionSource(ABC):
    """Lends connections.

    Attributes:
        many: whether several connections may be lent at the same time, and broken ones are replaced.
    """

    many: ClassVar[bool] = True

    @abstractmethod
    def borrow(self) -> AbstractContextManager[AnyConnection]:
        """Lend a connection."""

    def pinned(self) -> AbstractContextManager[None]:
        """Keep what is read within the context in one snapshot, where `borrow` lends one connection only."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - what belongs to the caller is left alone
        """Close the connections that the source has made."""


class DsnSource(ConnectionSource):
    """Connects when needed, and keeps a few idle connections.

    Args:
        dsn: a libpq connection string or URL.

    Raises:
        InvalidInputError: the string is malformed.
    """

    def __init__(self, dsn: str) -> None:
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError as error:
            raise kayak.InvalidInputError(
                "`dsn` is no connection string; write 'postgresql://user:password@host:5432/database' or "
                "'host=... dbname=... user=...'"
            ) from error
        self._arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "fallback_application_name": "kayak"}
        self._arguments |= {**given, "client_encoding": "utf8"}
        self._idle: deque[AnyConnection] = deque()
        self._is_closed = False

    @contextmanager
    def borrow(self) -> Iterator[AnyConnection]:
        """Lend an idle connection, or a new one."""
        connection = self._take()
        try:
            yield connection
        finally:
            if connection.closed:  # the server has gone, so the idle ones are as dead
                self._close_idle()
            usable = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
            if usable and not self._is_closed and len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    def _take(self) -> AnyConnection:
        try:
            return self._idle.pop()
        except IndexError:
            connection = psycopg.connect(**self._arguments, autocommit=True)
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            return connection

    def close(self) -> None:
        """Close the idle connections; those lent are closed when they come back."""
        self._is_closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


class PoolSource(ConnectionSource):
    """Lends the connections of a pool that belongs to the caller.

    Args:
        pool: a `psycopg_pool.ConnectionPool`, or what lends connections as it does.

    Raises:
        InvalidTypeError: it does not.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        if not callable(getattr(pool, "connection", None)):
            raise kayak.InvalidTypeError(f"`pool` must be a psycopg_pool.ConnectionPool, got {type(pool).__name__}")
        self._pool = pool

    def borrow(self) -> AbstractContextManager[AnyConnection]:
        """Lend a connection of the pool."""
        return self._pool.connection()


class SharedSource(ConnectionSource):
    """Lends the caller's one connection, to one thread at a time.

    Args:
        connection: a `psycopg.Connection`; stores that share it take turns.

    Raises:
        InvalidTypeError: it is something else.
        InvalidInputError: it does not talk UTF-8.
    """

    many = False

    def __init__(self, connection: AnyConnection) -> None:
        if not isinstance(connection, psycopg.Connection):
            raise kayak.InvalidTypeError(
                f"`connection` must be a psycopg.Connection (version 3), got {type(connection).__module__}."
                f"{type(connection).__qualname__}"
            )
        self._connection = connection
        with _locks_guard:
            self._lock = _locks.setdefault(connection, threading.RLock())

    @contextmanager
    def borrow(self) -> Iterator[AnyConnection]:
        """Lend the connection."""
        with self._lock:
            yield self._connection

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep the connection, in one snapshot unless the caller has a transaction of its own."""
        with self._lock:
            if self._connection.info.transaction_status != TransactionStatus.IDLE:
                yield
                return
            with self._connection.transaction():
                self._connection.execute(SNAPSHOT)
                yield


def connection_source(
    dsn: str | None, connection: AnyConnection | None, pool: ConnectionPool | None
) -> ConnectionSource:
    """Return the source for the one argument that is given.

    Raises:
        InvalidInputError: none or several are given, or the connection string is malformed.
        InvalidTypeError: it has the wrong type.
    """
    given = [name for name, value in (("dsn", dsn), ("connection", connection), ("pool", pool)) if value is not None]
    if len(given) != 1:
        raise kayak.InvalidInputError(
            f"give one of dsn=, connection= and pool=; got {' and '.join(given) if given else 'none of them'}"
        )
    if pool is not None:
        return PoolSource(pool)
    if connection is not None:
        return SharedSource(connection)
    if not isinstance(dsn, str):
        raise kayak.InvalidTypeError(f"`dsn` must be a string, got {type(dsn).__name__}")
    return DsnSource(dsn)
