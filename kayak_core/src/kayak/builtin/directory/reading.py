"""Reading consistent snapshots while other processes write and compact."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from kayak.builtin.directory.connections import ConnectionPool
from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.folder import catalog_path, read_mark
from kayak.builtin.directory.schema import Meta, read_meta
from kayak.builtin.directory.segments import SegmentMaps
from kayak.builtin.directory.snapshot import Snapshot, read_snapshot

_Result = TypeVar("_Result")
_ATTEMPTS = 100


class SnapshotReader:
    """Opens read transactions and keeps the snapshot of the last generation read.

    Everything that a call reads comes from one transaction, and segments are mapped before it ends; a compaction may
    then remove the files, the mapped memory stays.
    """

    def __init__(self, folder: Path, pool: ConnectionPool) -> None:
        self._folder = folder
        self._catalog = catalog_path(folder)
        self._pool = pool
        self._maps = SegmentMaps(folder)
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    @contextmanager
    def meta(self) -> Iterator[tuple[sqlite3.Connection, Meta]]:
        """Give a connection inside a read transaction, and the totals.

        Raises:
            StoreCorruptError: the catalog is altered, or has lost acknowledged writes.
        """
        acknowledged = read_mark(self._folder)
        with self._pool.transaction() as connection:
            yield connection, checked_meta(connection, self._catalog, acknowledged)

    @contextmanager
    def snapshot(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """Give a connection inside a read transaction, and the snapshot that it reads.

        Raises:
            StoreCorruptError: rows or segments are missing or altered.
        """
        with ExitStack() as stack:

            def attempt() -> tuple[sqlite3.Connection, Snapshot]:
                with ExitStack() as transaction:
                    connection, meta = transaction.enter_context(self.meta())
                    snapshot = self.current(connection, meta)
                    stack.push(transaction.pop_all())
                    return connection, snapshot

            yield self._retried(attempt)

    def retried(self, work: Callable[[sqlite3.Connection, Meta], _Result]) -> _Result:
        """Run `work` in a read transaction, and again in a later one if a compaction took its segments away.

        Raises:
            StoreCorruptError: a segment is missing although nothing was compacted.
        """

        def attempt() -> _Result:
            with self.meta() as (connection, meta):
                return work(connection, meta)

        return self._retried(attempt)

    def _retried(self, attempt: Callable[[], _Result]) -> _Result:
        """Call `attempt` until it finds its segments.

        A compaction may remove files after a transaction began that still refers to them. Then a later transaction
        sees another generation; where it does not, the file is lost.
        """
        before = -1
        attempts = 0
        while True:
            attempts += 1
            generation = read_mark(self._folder)
            try:
                return attempt()
            except FileNotFoundError as error:
                if generation == before or attempts == _ATTEMPTS:
                    raise corrupt(Path(error.filename), "it is missing") from error
                before = generation

    def current(self, connection: sqlite3.Connection, meta: Meta) -> Snapshot:
        """Return the snapshot that a transaction with these totals sees.

        Raises:
            FileNotFoundError: a segment is gone.
            StoreCorruptError: rows or segments are missing or altered.
        """
        with self._lock:
            known = self._snapshot
            if known is not None and known.meta == meta:
                return known
            snapshot = read_snapshot(connection, meta, self._maps, self._catalog)
            if known is None or known.meta.generation < meta.generation:
                self._snapshot = snapshot
            return snapshot

    def clear(self) -> None:
        """Let go of the snapshot and the maps."""
        with self._lock:
            self._snapshot = None
            self._maps.clear()


def checked_meta(connection: sqlite3.Connection, catalog: Path, acknowledged: int) -> Meta:
    """Read the totals and require all acknowledged writes to be there.

    Raises:
        StoreCorruptError: the totals are altered, or older than an acknowledged write.
    """
    meta = read_meta(connection, catalog)
    if meta.generation < acknowledged:
        raise corrupt(
            catalog,
            f"it is at write {meta.generation}, but write {acknowledged} was acknowledged: its log "
            f"({catalog.name}-wal) was damaged or removed",
        )
    return meta
