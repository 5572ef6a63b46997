"""A Kayak store in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import kayak
import numpy as np

CREATE = "CREATE TABLE IF NOT EXISTS documents (id PRIMARY KEY, dim, vectors, text, metadata)"
WRITE = """
INSERT INTO documents VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
dim = excluded.dim, vectors = excluded.vectors, text = excluded.text, metadata = excluded.metadata
"""
DELETE = "DELETE FROM documents WHERE id = ?"
READ_ALL = "SELECT * FROM documents ORDER BY rowid"
READ_ONE = "SELECT * FROM documents WHERE id = ?"


class Sqlite3Store(kayak.BaseLateStore):
    """Keeps documents in the table `documents` of an SQLite file."""

    kind = "sqlite3"

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()  # one connection serves all threads, one at a time
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute(CREATE)

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents in one transaction; a replaced one keeps its place."""
        values = [
            (row.doc_id, row.vectors.shape[1], row.vectors.tobytes(), row.text, json.dumps(row.metadata))
            for row in rows
        ]
        with self._lock, self._database:
            self._database.executemany(WRITE, values)

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete documents in one transaction."""
        with self._lock, self._database:
            self._database.executemany(DELETE, [(doc_id,) for doc_id in doc_ids])

    def read_documents(
        self, doc_ids: Sequence[str] | None, where: kayak.Where | None
    ) -> Iterable[kayak.StoredDocument]:
        """Read all documents in insertion order, or those with the given ids; Kayak itself applies `where`."""
        with self._lock:
            if doc_ids is None:
                rows = self._database.execute(READ_ALL).fetchall()
            else:
                rows = [row for doc_id in doc_ids for row in self._database.execute(READ_ONE, (doc_id,))]
        for doc_id, dim, vectors, text, metadata in rows:
            matrix = np.frombuffer(vectors, dtype=np.float32).reshape(-1, dim)
            yield kayak.StoredDocument(doc_id, matrix, text, json.loads(metadata))

    def capabilities(self) -> kayak.StoreCapabilities:
        """Say what this store adds to `BaseLateStore`."""
        return kayak.StoreCapabilities(self.kind, persistent=True, preserves_insertion_order=True)

    def release(self) -> None:
        """Close the file."""
        self._database.close()


@kayak.hookimpl
def kayak_stores() -> Iterator[kayak.StoreSpec]:
    """Provide the store kind `sqlite3`."""
    yield kayak.StoreSpec(name="sqlite3", factory=Sqlite3Store, summary="one SQLite file")
