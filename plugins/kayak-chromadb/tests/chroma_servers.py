"""Chroma servers for tests: a URL, `chroma run` of this environment, or a container."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import chromadb
import httpx
import pytest
from chromadb.api import ClientAPI

IMAGE = "chromadb/chroma:1.5.9"
URL_VARIABLE = "KAYAK_TEST_CHROMA_URL"
START_SECONDS = 60


@attrs.frozen
class Server:
    """Where a server listens."""

    host: str
    port: int
    ssl: bool = False

    @property
    def arguments(self) -> dict[str, object]:
        """What `open_store("chromadb", …)` needs to reach it."""
        return {"host": self.host, "port": self.port, "ssl": self.ssl}


def chroma_command() -> str | None:
    """The `chroma` executable beside this interpreter, or on PATH."""
    return shutil.which("chroma", path=str(Path(sys.executable).parent)) or shutil.which("chroma")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(server: Server, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return as soon as the server answers; fail if its process ends or the time is up."""
    pause = threading.Event()
    for _ in range(START_SECONDS * 20):
        try:
            if httpx.get(f"http{'s' * server.ssl}://{server.host}:{server.port}/api/v2/heartbeat").is_success:
                return
        except httpx.HTTPError:
            pass
        if process is not None and process.poll() is not None:
            pytest.fail(f"`chroma run` ended with {process.returncode}")
        pause.wait(0.05)
    pytest.fail(f"no Chroma server answers at {server.host}:{server.port} after {START_SECONDS} s")


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start `chroma run` on a folder and wait until it answers."""
    command = chroma_command()
    if command is None:
        pytest.skip("there is no `chroma` executable here; `pip install chromadb` brings it")
    process = subprocess.Popen(
        [command, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(Server("127.0.0.1", port), process)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that `start` began."""
    process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def own_client(at: Server) -> Iterator[ClientAPI]:
    """A client as users have one; its HTTP sessions, which Chroma leaves open, are closed too."""
    with chromadb.HttpClient(at.host, at.port, at.ssl) as client:
        yield client
    client._server._session.close()
    client._admin_client._server._session.close()


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server that tests may fill: by URL, by `chroma run`, or in a container; skips where there is none."""
    url = os.environ.get(URL_VARIABLE)
    if url:
        parts = urlsplit(url)
        ssl = parts.scheme == "https"
        yield Server(parts.hostname or "localhost", parts.port or (443 if ssl else 8000), ssl)
    elif chroma_command():
        port = free_port()
        process = start(folder, port)
        try:
            yield Server("127.0.0.1", port)
        finally:
            stop(process)
    else:
        with container() as running:
            yield running


def docker_problem() -> str | None:
    """Why no Docker engine can be used; None where one answers."""
    docker = pytest.importorskip("docker")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the client forgets a socket that could not connect
        try:
            with closing(docker.from_env()) as client:
                client.ping()
        except docker.errors.DockerException as error:
            return str(error)
        finally:
            gc.collect()
    return None


@contextmanager
def container() -> Iterator[Server]:
    """A server in a container; skips where no Docker engine answers."""
    problem = docker_problem()
    if problem:
        pytest.skip(
            f"no Chroma server: {URL_VARIABLE} is not set, there is no `chroma` executable beside this Python or on "
            f"PATH, and no Docker engine answers ({problem})"
        )
    from testcontainers.core.container import DockerContainer

    with DockerContainer(IMAGE).with_exposed_ports(8000) as running:
        found = Server(running.get_container_host_ip(), int(running.get_exposed_port(8000)))
        wait_for(found)
        yield found
