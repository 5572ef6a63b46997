"""A Weaviate server for the tests, and a collection of its own for each test; without a server, tests skip."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import weaviate
from hypothesis import HealthCheck, settings
from kayak_weaviate.plugin import open_weaviate_store
from kayak_weaviate.store import WeaviateLateStore

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
from weaviate_servers import (  # noqa: E402 - a module of the tests, beside this one
    NO_SERVER,
    Server,
    container,
    docker_answers,
    server_by_url,
    start_executable,
)

# Machines that run tests are often busy: a deadline would measure them, not the code.
settings.register_profile("kayak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kayak")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that would start a container here, because there is no other server."""
    if server_by_url() is not None or shutil.which("weaviate") is not None:
        return
    for item in items:
        if FOLDER in item.path.parents and "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.containers)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the server that all tests share."""
    given, executable = server_by_url(), shutil.which("weaviate")
    if given is not None:
        yield given
    elif executable is not None:
        started = start_executable(executable, tmp_path_factory.mktemp("weaviate"))
        yield started
        started.stop()
    elif docker_answers():
        yield from container()
    else:
        pytest.skip(NO_SERVER)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Yield a function that starts a server, always over the same folder, which the test may configure and kill."""
    executable = shutil.which("weaviate")
    if executable is None:
        pytest.skip("this test configures and stops its server: put a `weaviate` executable on PATH")
    started: list[Server] = []

    def start(**settings: str) -> Server:
        started.append(start_executable(executable, tmp_path, **settings))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def client(server: Server) -> Iterator[weaviate.WeaviateClient]:
    """Yield a client that belongs to the test."""
    with open_weaviate_store(**server.arguments, collection_name="KayakClient") as store:
        connected = store._connection.client
        yield connected
        connected.collections.delete("KayakClient")


@pytest.fixture
def collection_name(client: weaviate.WeaviateClient) -> Iterator[str]:
    """Yield a name for a collection, which is dropped afterwards."""
    name = f"Kayak_{uuid.uuid4().hex}"
    yield name
    client.collections.delete(name)


@pytest.fixture
def open_store(server: Server, collection_name: str) -> Iterator[Callable[..., WeaviateLateStore]]:
    """Yield a function that opens a store over the test's collection."""
    opened: list[WeaviateLateStore] = []

    def open_one(**more: Any) -> WeaviateLateStore:
        opened.append(open_weaviate_store(**{**server.arguments, "collection_name": collection_name, **more}))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
