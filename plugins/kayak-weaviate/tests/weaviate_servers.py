"""Weaviate servers for the tests: one by URL, an executable on PATH, or a container."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx

IMAGE = "semitechnologies/weaviate:1.39.6"
START_SECONDS = 90
NO_SERVER = (
    "no Weaviate server: set KAYAK_TEST_WEAVIATE_URL (and KAYAK_TEST_WEAVIATE_GRPC_URL or _API_KEY where needed), put "
    "a `weaviate` executable on PATH, or start a Docker engine for testcontainers"
)


@attrs.frozen
class Server:
    """A running server.

    Attributes:
        arguments: what `open_store` needs to reach it.
        process: the process, where the tests started one of their own.
    """

    arguments: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Stop the process, if it is the tests' own."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_ready(url: str, failed: Callable[[], bool] = lambda: False) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not failed():
        try:
            if httpx.get(f"{url}/v1/.well-known/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)  # the server has no other way to say that it is up
    raise RuntimeError(f"the Weaviate server at {url} did not become ready within {START_SECONDS} seconds")


def start_executable(executable: str, folder: Path, **settings: str) -> Server:
    """Start a server on loopback ports; the caller stops it."""
    ports = {name: free_port() for name in ("http", "grpc", "gossip", "data", "raft", "rpc", "profiling")}
    environment = {
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "PERSISTENCE_DATA_PATH": str(folder),
        "ENABLE_MODULES": "",
        "DISABLE_TELEMETRY": "true",
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_HOSTNAME": "kayak",
        "CLUSTER_GOSSIP_BIND_PORT": str(ports["gossip"]),
        "CLUSTER_DATA_BIND_PORT": str(ports["data"]),
        "RAFT_PORT": str(ports["raft"]),
        "RAFT_INTERNAL_RPC_PORT": str(ports["rpc"]),
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_JOIN": f"kayak:{ports['raft']}",
        "GRPC_PORT": str(ports["grpc"]),
        "PROFILING_PORT": str(ports["profiling"]),
        **settings,
    }
    command = [executable, "--host", "127.0.0.1", "--port", str(ports["http"]), "--scheme", "http"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    server = Server({"url": f"http://127.0.0.1:{ports['http']}", "grpc_port": ports["grpc"]}, process)
    try:
        wait_until_ready(server.arguments["url"], failed=lambda: process.poll() is not None)
    except RuntimeError:
        server.stop()
        raise
    return server


def docker_answers() -> bool:
    executable = shutil.which("docker")
    if executable is None:
        return False
    asked = subprocess.run([executable, "info"], capture_output=True, timeout=30, check=False)
    return asked.returncode == 0


def container() -> Iterator[Server]:
    from testcontainers.core.container import DockerContainer

    started = DockerContainer(IMAGE).with_exposed_ports(8080, 50051)
    for name, value in {
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
        "ENABLE_MODULES": "",
        "DISABLE_TELEMETRY": "true",
    }.items():
        started = started.with_env(name, value)
    with started:
        host = started.get_container_host_ip()
        url = f"http://{host}:{started.get_exposed_port(8080)}"
        wait_until_ready(url)
        yield Server({"url": url, "grpc_port": int(started.get_exposed_port(50051))})


def server_by_url() -> Server | None:
    """Return the server that the environment names, or None."""
    url = os.environ.get("KAYAK_TEST_WEAVIATE_URL")
    if not url:
        return None
    optional = {
        "grpc_url": os.environ.get("KAYAK_TEST_WEAVIATE_GRPC_URL"),
        "api_key": os.environ.get("KAYAK_TEST_WEAVIATE_API_KEY"),
    }
    return Server({"url": url, **{name: value for name, value in optional.items() if value}})
