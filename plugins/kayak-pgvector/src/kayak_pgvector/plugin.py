"""The hook through which Kayak finds this store; it imports no database client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kayak


def open_pgvector(**arguments: Any) -> kayak.LateStore:
    """Open a `PgvectorLateStore`; the arguments are those of its constructor."""
    from kayak_pgvector.store import PgvectorLateStore

    return PgvectorLateStore(**arguments)


@kayak.hookimpl
def kayak_stores() -> Iterator[kayak.StoreSpec]:
    """Provide the store kind `pgvector`."""
    yield kayak.StoreSpec(
        name="pgvector",
        aliases=("postgres", "postgresql"),
        factory=open_pgvector,
        summary="PostgreSQL with the pgvector extension",
        requirements=("psycopg>=3.2",),
    )
