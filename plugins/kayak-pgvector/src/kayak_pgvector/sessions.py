"""Work on connections: transactions, one retry where a connection was lost, and errors in Kayak's terms."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, LiteralString, TypeAlias, TypeVar

import attrs
import psycopg
from psycopg import sql
from psycopg.adapt import AdaptersMap
from psycopg.rows import TupleRow, tuple_row

from kayak_pgvector.errors import translated
from kayak_pgvector.sources import SNAPSHOT, AnyConnection, ConnectionSource
from kayak_pgvector.wire import copy_fields

Query: TypeAlias = LiteralString | sql.SQL | sql.Composed
_Result = TypeVar("_Result")
Work: TypeAlias = "Callable[[Session], _Result]"
Runner: TypeAlias = "Callable[[Work[Any]], Any]"


def quoted(*names: str) -> sql.SQL:
    """Return a name, or several joined by dots, as the client quotes it, for a statement with parameters.

    `sql.Identifier` leaves a % in a name alone, which the client would then take for a placeholder.
    """
    return sql.SQL(sql.Identifier(*names).as_string(None).replace("%", "%%"))


class _Cursor(psycopg.Cursor[TupleRow]):
    """A cursor that neither sees nor changes what the caller has configured on the connection."""

    def __init__(self, connection: AnyConnection, adapters: AdaptersMap) -> None:
        self._store_adapters = adapters
        super().__init__(connection, row_factory=tuple_row)
        self.format = psycopg.pq.Format.BINARY

    @property
    def adapters(self) -> AdaptersMap:
        """The store's own adapters."""
        return self._store_adapters


@attrs.frozen(eq=False)
class Session:
    """One connection, lent for one piece of work."""

    connection: AnyConnection
    adapters: AdaptersMap

    def rows(self, query: Query, parameters: Sequence[Any] = ()) -> list[TupleRow]:
        """Run a query and return its rows; write % as %% in it."""
        with _Cursor(self.connection, self.adapters) as cursor:
            return cursor.execute(query, parameters).fetchall()

    def execute(self, query: Query, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return the number of rows that it changed; write % as %% in it."""
        with _Cursor(self.connection, self.adapters) as cursor:
            return cursor.execute(query, parameters).rowcount

    def execute_many(self, query: Query, parameters: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters, without waiting for each answer."""
        with _Cursor(self.connection, self.adapters) as cursor:
            cursor.executemany(query, parameters)

    def copied_rows(self, query: sql.Composed) -> Generator[list[memoryview | None], None, None]:
        """Yield the fields, in binary format, of the rows that a query selects; read all before anything else."""
        # Without parameters, which COPY cannot have, the client takes % as it is.
        selected = sql.SQL(query.as_string(None).replace("%%", "%"))
        statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(selected)
        with _Cursor(self.connection, self.adapters) as cursor, cursor.copy(statement) as copy:
            for number, row in enumerate(copy):
                fields = copy_fields(row, first=number == 0)
                if fields:  # the end mark has none
                    yield fields


class Database:
    """Runs work on the connections of a source.

    Args:
        source: lends the connections.
        place: what messages call the table and where it is.
        adapters: how parameters and results are converted.
    """

    def __init__(self, source: ConnectionSource, place: str, adapters: AdaptersMap) -> None:
        self._source = source
        self.place = place
        self.adapters = adapters

    def run(self, work: Work[_Result], *, writes: bool = False) -> _Result:
        """Do work in one transaction: committed where it writes, else rolled back, with the settings it made.

        Work that fails because the connection was lost is done once more on another one, where there are others;
        so it must be safe to do twice.

        Raises:
            StoreError: the database refuses, or cannot be reached.
        """
        with ExitStack() as stack:
            stack.enter_context(translated(self.place))
            return self._retried(lambda connection: self._transaction(connection, work, writes=writes))

    def _transaction(self, connection: AnyConnection, work: Work[_Result], *, writes: bool) -> _Result:
        with connection.transaction(force_rollback=not writes):
            return work(Session(connection, self.adapters))

    def _retried(self, work: Callable[[AnyConnection], _Result]) -> _Result:
        if self._source.many:
            with self._source.borrow() as connection:
                try:
                    return work(connection)
                except psycopg.OperationalError:
                    if not connection.closed:
                        raise
        with self._source.borrow() as connection:
            return work(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Runner]:
        """Give a function that runs work; all of it sees one state of the database.

        With the caller's one connection each piece of work sees the state at its own time, so that the connection
        stays usable in between; `pinned` keeps it instead.
        """
        if not self._source.many:
            yield self.run
            return
        with ExitStack() as stack:
            with translated(self.place):
                session = self._begin(stack)

            def run(work: Work[Any]) -> Any:
                with translated(self.place):
                    return work(session)

            yield run

    def _begin(self, stack: ExitStack, *, retry: bool = True) -> Session:
        """Begin a read transaction on a connection that works, and leave its end to the stack."""
        with ExitStack() as attempt:
            connection = attempt.enter_context(self._source.borrow())
            try:
                attempt.enter_context(connection.transaction(force_rollback=True))
                session = Session(connection, self.adapters)
                session.execute(SNAPSHOT)
            except psycopg.OperationalError:
                if not retry or not connection.closed:
                    raise
            else:
                stack.push(attempt.pop_all())
                return session
        return self._begin(stack, retry=False)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep all that is read within the context in one state of the database."""
        with nullcontext() if self._source.many else self._source.pinned():
            yield

    def close(self) -> None:
        """Close the connections that the store has made itself."""
        self._source.close()
