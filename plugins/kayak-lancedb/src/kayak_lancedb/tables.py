"""The table itself: opened where it exists, made with the first write, always read at its newest version."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kayak
import pyarrow as pa

from kayak_lancedb.connecting import TableLocation
from kayak_lancedb.faults import CLIENT_ERRORS, translated
from kayak_lancedb.schema import TableState, new_table_schema, read_state, vectors_field

if TYPE_CHECKING:
    from lancedb.table import LanceTable

# Windows has no such locks: there, processes that make the same table at the same time are not kept apart.
fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
_creating = threading.Lock()


class DocumentTable:
    """One handle on the documents' table.

    Args:
        location: where the table is, or will be.

    Raises:
        StoreSchemaError: there is a table of that name that Kayak did not make.
    """

    def __init__(self, location: TableLocation) -> None:
        self.location = location
        self._lock = threading.Lock()
        self._table: LanceTable | None = None
        self.current()

    def current(self) -> tuple[LanceTable, TableState] | None:
        """Return the table at its newest version and what its schema says; None where it does not exist yet."""
        with translated("read", str(self.location)), self._lock:
            if self._table is None:
                self._table = self._open()
            else:
                _refresh(self._table)
            table = self._table
            return None if table is None else (table, read_state(table.schema, str(self.location)))

    def created(self) -> LanceTable:
        """Return the table, made if it does not exist."""
        known = self.current()
        if known is not None:
            return known[0]
        with translated("create", str(self.location)), self._lock, _alone(self.location.table_folder):
            try:
                self._table = self._open() or self._created()
            except ValueError as error:
                if "already exists" not in str(error):
                    raise
                self._table = self._open()  # another machine made it at the same time
        return self.created()

    def with_dimension(self, dim: int) -> tuple[LanceTable, TableState]:
        """Return the table with a vectors column, made with the given dimension if the table has none.

        Raises:
            InvalidInputError: another process gave it another dimension meanwhile.
        """
        table = self.created()
        state = self._state(table)
        if state.vector_dim is None:
            with translated("create", str(self.location)):
                try:
                    table.add_columns(pa.schema([vectors_field(dim)]))
                except CLIENT_ERRORS:
                    _refresh(table)
                    if self._state(table).vector_dim is None:
                        raise
            state = self._state(table)
        if state.vector_dim != dim:
            raise kayak.InvalidInputError(
                f"the batch has vectors of dimension {dim}, but another writer has just given {self.location} "
                f"dimension {state.vector_dim}; one store holds one dimension"
            )
        return table, state

    def _state(self, table: LanceTable) -> TableState:
        return read_state(table.schema, str(self.location))

    def _open(self) -> LanceTable | None:
        from lancedb.table import LanceTable

        try:
            table = self.location.connection.open_table(self.location.table_name)
        except ValueError as error:
            if "was not found" not in str(error):
                raise
            return None
        return _expect(table, LanceTable)

    def _created(self) -> LanceTable:
        from lancedb.table import LanceTable

        table = self.location.connection.create_table(self.location.table_name, schema=new_table_schema())
        return _expect(table, LanceTable)


@contextmanager
def _alone(table_folder: Path | None) -> Iterator[None]:
    """Keep other threads, and other processes on the same folder, from making the table at the same time.

    LanceDB looks whether a table exists before it makes one, and makes it as an overwrite: of two that look at the same
    time, the second would take the place of the first one's table, and of what was written to it meanwhile.
    """
    with _creating, ExitStack() as stack:
        if table_folder is not None and fcntl is not None:
            table_folder.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(table_folder.with_suffix(".creating").open("ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed
        yield


def _refresh(table: Any) -> None:  # LanceDB leaves the method without types
    table.checkout_latest()


def _expect(table: object, kind: type[LanceTable]) -> LanceTable:
    if not isinstance(table, kind):
        raise kayak.InvalidTypeError(f"expected a local LanceDB table, got {type(table).__name__}")
    return table
