"""From the arguments of `open_store("chromadb", …)` to a Chroma client, and what closing it means."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path

import attrs
import chromadb
import httpx
import kayak
from chromadb.api import ClientAPI
from chromadb.api.client import Client
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT

from kayak_chromadb.errors import chroma_calls
from kayak_chromadb.folder_lock import FolderLock

IN_MEMORY = ":memory:"
_DEFAULT_PORT = 8000
_TLS_PORT = 443


@attrs.frozen(eq=False)
class Connection:
    """A Chroma client, and what the store may assume about it.

    Attributes:
        client: the client.
        place: what error messages call the database.
        persistent: whether documents survive the client.
        owned: whether closing the store closes the client.
        private: whether no other store can reach the collection.
        lock: holds the folder of an embedded Chroma; None elsewhere.
        writing: serialises writers of this process.
    """

    client: ClientAPI
    place: str
    persistent: bool
    owned: bool
    private: bool = False
    lock: FolderLock | None = None
    writing: AbstractContextManager[object] = attrs.field(factory=threading.RLock)

    @property
    def exclusive(self) -> bool:
        """Whether only stores of this process that take `writing` can write."""
        return self.lock is not None or self.private

    def close(self) -> None:
        """Close the client if it is the store's own, and let go of the folder."""
        if self.owned and isinstance(self.client, Client):
            self.client.close()
            # Chroma leaves the HTTP sessions of a client, and of the administrator within it, open.
            for part in (self.client, getattr(self.client, "_admin_client", None)):
                session = getattr(getattr(part, "_server", None), "_session", None)
                if isinstance(session, httpx.Client):
                    session.close()
        if self.lock is not None:
            self.lock.release()


def connect(
    *,
    client: ClientAPI | None,
    path: str | PathLike[str] | None,
    host: str | None,
    port: int | None,
    ssl: bool,
    headers: Mapping[str, str] | None,
    tenant: str | None,
    database: str | None,
) -> Connection:
    """Open the connection that the arguments describe; see `open_chroma_store`."""
    given = [name for name, value in (("client", client), ("path", path), ("host", host)) if value is not None]
    if len(given) != 1:
        raise kayak.InvalidInputError(
            f"store 'chromadb' got {' and '.join(given) or 'none'} of client=, path= and host=; give exactly one: a "
            "Chroma client, a folder (or ':memory:'), or the host of a server"
        )
    server = {"port": port is not None, "ssl": ssl, "headers": headers is not None}
    extra = [f"{name}=" for name, present in server.items() if present and host is None]
    if client is not None:
        extra += [f"{name}=" for name, value in (("tenant", tenant), ("database", database)) if value is not None]
    if extra:
        raise kayak.InvalidInputError(
            f"{', '.join(extra)} cannot be combined with {given[0]}=; port, ssl and headers belong to host=, and a "
            "client has its own tenant and database"
        )
    if client is not None:
        return _own_client(client)
    home = (tenant or DEFAULT_TENANT, database or DEFAULT_DATABASE)
    if host is not None:
        return _server(host, port, ssl, headers, home)
    if path == IN_MEMORY:
        with chroma_calls("Chroma in memory"):
            return Connection(chromadb.EphemeralClient(None, *home), "Chroma in memory", False, True, private=True)
    return _folder(path, home)


def _own_client(client: object) -> Connection:
    if not isinstance(client, ClientAPI):
        raise kayak.InvalidTypeError(
            f"client= is {type(client).__name__}, but must be a Chroma client: chromadb.PersistentClient(…), "
            "chromadb.HttpClient(…) or chromadb.EphemeralClient(); asynchronous clients cannot be used"
        )
    settings = client.get_settings()
    remote = bool(settings.chroma_server_host)
    place = f"Chroma at {settings.chroma_server_host}" if remote else "the Chroma client"
    return Connection(client, place, remote or settings.is_persistent, owned=False)


def _server(
    host: str, port: int | None, ssl: bool, headers: Mapping[str, str] | None, home: tuple[str, str]
) -> Connection:
    if port is not None and (not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 2**16):
        raise kayak.InvalidInputError(f"port is {port!r}, but must be an integer from 1 to 65535")
    number = port or (_TLS_PORT if ssl else _DEFAULT_PORT)
    place = f"the Chroma server at {host}:{number}"
    with chroma_calls(place):
        client = chromadb.HttpClient(host, number, ssl, dict(headers or {}), None, *home)
    return Connection(client, place, persistent=True, owned=True)


def _folder(path: str | PathLike[str] | None, home: tuple[str, str]) -> Connection:
    if not isinstance(path, (str, PathLike)) or not os.fspath(path):
        raise kayak.InvalidTypeError(f"path is {path!r}, but must be the path of a folder, or {IN_MEMORY!r}")
    # Chroma shares one engine among the clients of a process that give the same spelling of a path.
    folder = Path(path).resolve()
    place = f"Chroma in {folder}"
    lock = FolderLock(folder)
    try:
        with chroma_calls(place):
            client = _persistent_client(folder, home)
    except BaseException:
        lock.release()
        raise
    return Connection(client, place, persistent=True, owned=True, lock=lock, writing=lock.writing)


def _persistent_client(folder: Path, home: tuple[str, str]) -> ClientAPI:
    try:
        return chromadb.PersistentClient(folder, None, *home)
    except ValueError as error:
        if "different settings" not in str(error):
            raise
        raise kayak.InvalidInputError(
            f"this process has a Chroma client on {folder} with settings of its own; open the store over it with "
            "client= instead of path="
        ) from error
