"""Servers and settings of the tests of kayak-chromadb."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
from chroma_servers import Server, container, server

# Machines that run tests are often busy: a deadline would measure them, not the code.
settings.register_profile("kayak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kayak")


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Chroma server that the tests may fill: by URL, from this environment, or in a container."""
    with server(Path(tmp_path_factory.mktemp("chroma"))) as running:
        yield running


@pytest.fixture(scope="session")
def chroma_container() -> Iterator[Server]:
    """A Chroma server in a container, whatever else there is."""
    with container() as running:
        yield running


@pytest.fixture(autouse=True)
def unfinished_clients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect, within the test, the sockets that Chroma's client leaves open where it cannot finish connecting."""
    yield
    if request.module.__name__.endswith(("failures", "situations")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
