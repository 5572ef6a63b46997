"""How a store comes to its client: the user's own, a server's address, or an embedded server."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import attrs
import kayak
import weaviate
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.embedded import EmbeddedOptions

from kayak_weaviate.errors import translated

EMBEDDED_VERSION: Final = "1.39.6"
OLDEST_SERVER: Final = (1, 33)
"""The first version whose filters have an exact complement."""

_CLOUD: Final = (".weaviate.cloud", ".weaviate.network")


@attrs.frozen
class Target:
    """The arguments that say where the documents are; see `kayak_weaviate.plugin.open_weaviate_store`."""

    client: weaviate.WeaviateClient | None = None
    url: str | None = None
    persistence_path: str | Path | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    headers: Mapping[str, str] | None = attrs.field(default=None, repr=False)
    grpc_url: str | None = None
    timeout: float = 60.0
    port: int = 8079
    grpc_port: int | None = None
    server_version: str | None = None


@attrs.frozen(eq=False)
class Connection:
    """A connected client.

    Attributes:
        client: the client.
        owned: whether the store closes it.
        place: the server, for messages.
    """

    client: weaviate.WeaviateClient
    owned: bool
    place: str

    def close(self) -> None:
        """Close the client if it is the store's own; an embedded server stops with it."""
        if self.owned:
            self.client.close()


def connect(target: Target) -> Connection:
    """Return a connection to a server that Kayak can use.

    Raises:
        InvalidInputError: arguments that exclude one another, or are malformed.
        StoreUnavailableError: no server answers.
        StoreAccessError: the server refuses the key.
    """
    given = [name for name in ("client", "url", "persistence_path") if getattr(target, name) is not None]
    if len(given) != 1:
        raise kayak.InvalidInputError(
            f"give exactly one of client=, url= and persistence_path=, not {' and '.join(given) or 'none of them'}; "
            'for a server on this machine write url="http://localhost:8080"'
        )
    _check_timeout(target.timeout)
    if target.client is not None:
        connection = _own_client(target.client)
    elif target.url is not None:
        connection = _server(target, target.url)
    else:
        connection = _embedded(target)
    try:
        _check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _own_client(client: object) -> Connection:
    if not isinstance(client, weaviate.WeaviateClient):
        raise kayak.InvalidTypeError(
            f"client= must be a weaviate.WeaviateClient, got {type(client).__name__}; asynchronous clients cannot be "
            "used, weaviate.connect_to_local() and its siblings return the right one"
        )
    if not client.is_connected():
        raise kayak.StoreUnavailableError("client= is not connected; call client.connect() before opening the store")
    return Connection(client, owned=False, place="your Weaviate client's server")


def _server(target: Target, url: str) -> Connection:
    address = _address(url, "url")
    secure = address.scheme == "https"
    host, config, auth = str(address.hostname), _config(target), _auth(target)
    headers = None if target.headers is None else dict(target.headers)
    with translated("connect", url):
        if target.grpc_url is None and host.endswith(_CLOUD):
            if auth is None:
                raise kayak.StoreAccessError(f"{url} is a Weaviate Cloud cluster, which needs a key: give api_key=")
            # Their client looks up a newer release of itself on the web unless told to skip its checks.
            cloud = weaviate.connect_to_weaviate_cloud(
                url, auth, headers=headers, additional_config=config, skip_init_checks=True
            )
            return Connection(cloud, owned=True, place=url)
        grpc_host, grpc_port, grpc_secure = _grpc_address(target, host, secure)
        http_port = address.port or (443 if secure else 80)
        if (grpc_host, grpc_port) == (host, http_port):
            raise kayak.InvalidInputError(
                f"url and gRPC both name {host}:{http_port}; Weaviate's gRPC port is another one, 50051 by default: "
                "give grpc_port= or grpc_url="
            )
        client = weaviate.connect_to_custom(
            http_host=host,
            http_port=http_port,
            http_secure=secure,
            grpc_host=grpc_host,
            grpc_port=grpc_port,
            grpc_secure=grpc_secure,
            headers=headers,
            additional_config=config,
            auth_credentials=auth,
            skip_init_checks=True,
        )
    try:
        _require_listening(grpc_host, grpc_port, url)
    except BaseException:
        client.close()
        raise
    return Connection(client, owned=True, place=url)


def _embedded(target: Target) -> Connection:
    path = Path(str(target.persistence_path))
    if path.exists() and not path.is_dir():
        raise kayak.StorePathError(
            f"persistence_path {str(path)!r} is a file; give a folder, new or from Weaviate before"
        )
    folder = str(path.absolute())
    grpc_port = 50050 if target.grpc_port is None else target.grpc_port
    try:
        options = EmbeddedOptions(
            persistence_data_path=folder,
            version=target.server_version or EMBEDDED_VERSION,
            port=target.port,
            grpc_port=grpc_port,
            # Set here, or variables of the same names in this process's environment would win unseen.
            additional_env_vars={
                "PERSISTENCE_DATA_PATH": folder,
                "GRPC_PORT": str(grpc_port),
                "ENABLE_MODULES": "",
                "DISABLE_TELEMETRY": "true",
                "LOG_LEVEL": "error",
            },
        )
        with translated("start the embedded server", folder):
            client = weaviate.WeaviateClient(
                embedded_options=options,
                additional_headers=None if target.headers is None else dict(target.headers),
                additional_config=_config(target),
                skip_init_checks=True,
            )
            try:
                client.connect()
            except BaseException:
                client.close()
                raise
    except OSError as error:
        if isinstance(error, kayak.StoreError):
            raise
        raise kayak.StoreUnavailableError(
            f"the embedded Weaviate server cannot be started for {folder}: {error}. The client library downloads it "
            "from the web on first use; without that, run a server and give url="
        ) from error
    return Connection(client, owned=True, place=f"the embedded server in {folder}")


def _check_version(connection: Connection) -> None:
    with translated("ask for the version", connection.place):
        version = str(connection.client.get_meta().get("version", ""))
    numbers = version.split(".")[:2]
    if not all(number.isdecimal() for number in numbers) or tuple(map(int, numbers)) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise kayak.StoreError(
            f"{connection.place} runs Weaviate {version or 'of an unknown version'}; Kayak needs {oldest} or newer, "
            "whose filters can be negated: upgrade the server"
        )


def _address(url: str, name: str) -> SplitResult:
    if not isinstance(url, str):
        raise kayak.InvalidTypeError(f"{name} must be a string, got {type(url).__name__}")
    malformed = f'{name} {url!r} is no address; write it as "http://localhost:8080"'
    try:
        address = urlsplit(url)
        usable = address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
    except ValueError as error:  # a port that is no number, or half an IPv6 address
        raise kayak.InvalidInputError(malformed) from error
    if not usable:
        raise kayak.InvalidInputError(malformed)
    if address.path.strip("/") or address.query or address.username:
        raise kayak.InvalidInputError(
            f"{name} must name a host and a port alone, without path, query or user; give credentials with api_key="
        )
    return address


def _grpc_address(target: Target, host: str, secure: bool) -> tuple[str, int, bool]:
    if target.grpc_url is None:
        return host, 50051 if target.grpc_port is None else target.grpc_port, secure
    if target.grpc_port is not None:
        raise kayak.InvalidInputError("give grpc_url= or grpc_port=, not both; grpc_url names the port too")
    full = target.grpc_url if "://" in target.grpc_url else f"http{'s' * secure}://{target.grpc_url}"
    address = _address(full, "grpc_url")
    return (
        str(address.hostname),
        address.port or (443 if address.scheme == "https" else 50051),
        address.scheme == "https",
    )


def _require_listening(host: str, port: int, url: str) -> None:
    """Find out at once that nothing listens on the gRPC port, which calls would retry for a minute before saying so."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise kayak.StoreUnavailableError(
            f"{url} answers, but its gRPC port {host}:{port} does not ({error}); publish the port, or name the right "
            "one with grpc_port= or grpc_url="
        ) from error


def _config(target: Target) -> AdditionalConfig:
    return AdditionalConfig(timeout=Timeout(query=target.timeout, insert=target.timeout, init=min(target.timeout, 10)))


def _auth(target: Target) -> Any:
    return None if target.api_key is None else Auth.api_key(target.api_key)


def _check_timeout(timeout: object) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise kayak.InvalidInputError(f"timeout must be a positive number of seconds, got {timeout!r}")
