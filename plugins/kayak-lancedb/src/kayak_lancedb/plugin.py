"""The hook through which Kayak finds the store; LanceDB is imported when a store is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import kayak


def open_lancedb_store(
    *,
    path: str | os.PathLike[str] | None = None,
    table_name: str = "late_documents",
    connection: Any = None,
    storage_options: Mapping[str, str] | None = None,
) -> kayak.LateStore:
    """Open a table as a store; the arguments are those of `kayak_lancedb.store.LanceDBLateStore`."""
    from kayak_lancedb.store import LanceDBLateStore

    return LanceDBLateStore(path=path, table_name=table_name, connection=connection, storage_options=storage_options)


@kayak.hookimpl
def kayak_stores() -> Iterator[kayak.StoreSpec]:
    """Provide the store kind `lancedb`."""
    yield kayak.StoreSpec(
        name="lancedb",
        aliases=("lance",),
        factory=open_lancedb_store,
        summary="a LanceDB table: a folder or object storage, MaxSim inside the database",
        requirements=("lancedb>=0.40", "pyarrow>=19"),
    )
