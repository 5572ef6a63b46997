"""A server for the tests of this folder, and a schema of its own for each test."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kayak_pgvector.store import PgvectorLateStore
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parent))
from pg_server import NoServerError, postgres_url


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    try:
        with postgres_url() as url:
            yield url
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def admin(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the tests' own, to look at what the store did."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("SET lock_timeout = '5s'")  # a test that fails may leave a transaction open
        yield connection


@pytest.fixture
def schema(admin: psycopg.Connection[Any]) -> Iterator[str]:
    name = f"kayak_test_{uuid.uuid4().hex}"
    admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    yield name
    admin.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def open_store(server_url: str, schema: str) -> Iterator[Callable[..., PgvectorLateStore]]:
    """Open stores in the test's schema; they are closed when the test ends."""
    opened = []

    def open_one(**arguments: Any) -> PgvectorLateStore:
        if not {"dsn", "connection", "pool"} & arguments.keys():
            arguments["dsn"] = psycopg.conninfo.make_conninfo(server_url, application_name=schema)
        store = PgvectorLateStore(**{"schema_name": schema, "table_name": "documents"} | arguments)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., PgvectorLateStore]) -> PgvectorLateStore:
    return open_store()
