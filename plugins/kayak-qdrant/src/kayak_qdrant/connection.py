"""Reaching Qdrant: the user's client, a folder, memory, or a server by URL."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import kayak
from qdrant_client import QdrantClient

from kayak_qdrant.errors import translated

MEMORY = ":memory:"
_FORBIDDEN = frozenset('<>:"/\\|?*') | frozenset(map(chr, range(32)))
LONGEST_NAME = 255
_OLDEST_SERVER = (1, 16)  # the first that keeps metadata of collections
_DEFAULT_TIMEOUT = 60

_locks: WeakKeyDictionary[QdrantClient, AbstractContextManager[Any]] = WeakKeyDictionary()
_locks_guard = threading.Lock()


@attrs.frozen(eq=False)
class Connection:
    """A client and one collection.

    Attributes:
        client: the client.
        collection_name: the collection.
        place: what messages call the database.
        is_local: whether the engine runs in this process.
        is_persistent: whether documents outlive the client.
        uses_grpc: whether documents travel by gRPC.
        timeout: seconds that one gRPC request may take.
        owned: whether the client is closed with the store.
    """

    client: QdrantClient
    collection_name: str
    place: str
    is_local: bool
    is_persistent: bool
    uses_grpc: bool
    timeout: int
    owned: bool
    _lock: AbstractContextManager[Any] = attrs.field(init=False)

    @_lock.default
    def _client_lock(self) -> AbstractContextManager[Any]:
        if not self.is_local:
            return nullcontext()
        with _locks_guard:
            return _locks.setdefault(self.client, threading.RLock())

    @contextmanager
    def request(self) -> Iterator[None]:
        """Use the client inside: its errors are translated, and local mode serves one thread at a time.

        Qdrant's in-process engine is a set of Python lists, which a writer would change under a reader's hands.
        """
        with self._lock, translated(self.place):
            yield

    def close(self) -> None:
        """Close the client, unless it is the user's."""
        if self.owned:
            with self.request():
                self.client.close()


def connect(
    *,
    client: QdrantClient | None,
    path: str | os.PathLike[str] | None,
    url: str | None,
    collection_name: str,
    api_key: str | None,
    prefer_grpc: bool,
    grpc_port: int,
    timeout: int,
) -> Connection:
    """Open a connection; see `kayak_qdrant.plugin.open_qdrant_store`."""
    _check_arguments(client=client, path=path, url=url, api_key=api_key, timeout=timeout)
    _check_collection_name(collection_name)
    if client is not None:
        connection = _own_client(client, collection_name)
    elif path is not None:
        connection = _open_local(os.fspath(path), collection_name)
    else:
        place = f"Qdrant at {url}"
        with translated(place):
            remote = QdrantClient(
                url=url,
                api_key=api_key,
                prefer_grpc=prefer_grpc,
                grpc_port=grpc_port,
                timeout=timeout,
                check_compatibility=False,  # checked below, with an error instead of a warning from a thread
            )
        connection = Connection(remote, collection_name, place, False, True, prefer_grpc, timeout, True)
    try:
        _check_server(connection)
    except kayak.StoreError:
        connection.close()
        raise
    return connection


def _check_arguments(*, timeout: int, api_key: str | None, **places: object) -> None:
    given = [name for name, value in places.items() if value is not None]
    if len(given) != 1:
        raise kayak.InvalidInputError(
            f"give exactly one of client=, path= and url=, got {' and '.join(given) or 'none'}; path=':memory:' keeps "
            "documents in memory only"
        )
    if api_key is not None and given != ["url"]:
        raise kayak.InvalidInputError(f"api_key= belongs to url=, not to {given[0]}=; leave it out")
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 1:
        raise kayak.InvalidInputError(f"timeout must be a whole number of seconds, at least 1, got {timeout!r}")
    url, path, client = places["url"], places["path"], places["client"]
    if url is not None and not isinstance(url, str):
        raise kayak.InvalidTypeError(f"url must be a string such as 'http://localhost:6333', got {type(url).__name__}")
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise kayak.InvalidTypeError(f"path must be a string or a path, got {type(path).__name__}")
    if client is not None and not isinstance(client, QdrantClient):
        raise kayak.InvalidTypeError(
            f"client must be a qdrant_client.QdrantClient, got {type(client).__name__}; asynchronous clients cannot "
            "be used"
        )


def _check_collection_name(name: object) -> None:
    if not isinstance(name, str):
        raise kayak.InvalidTypeError(f"collection_name must be a string, got {type(name).__name__}")
    if not name or name in {".", ".."} or len(name.encode(errors="replace")) > LONGEST_NAME or _FORBIDDEN & set(name):
        raise kayak.InvalidInputError(
            f"collection_name {name!r:.300} cannot be used: Qdrant takes 1 to {LONGEST_NAME} bytes without control "
            'characters and none of < > : " / \\ | ? *'
        )


def _own_client(client: QdrantClient, collection_name: str) -> Connection:
    options = client.init_options
    location, path = options.get("location"), options.get("path")
    is_local = location == MEMORY or path is not None
    uses_grpc = bool(options.get("prefer_grpc")) and not is_local
    timeout = options.get("timeout") or _DEFAULT_TIMEOUT
    place = f"Qdrant at {path or location or options.get('url') or options.get('host') or 'localhost'}"
    return Connection(client, collection_name, place, is_local, location != MEMORY, uses_grpc, timeout, False)


def _open_local(path: str, collection_name: str) -> Connection:
    place = f"Qdrant in {path}"
    try:
        if path == MEMORY:
            client = QdrantClient(location=MEMORY)
        else:
            # Every use of the client is behind one lock, which is what the check of threads would ensure.
            client = QdrantClient(path=path, force_disable_check_same_thread=True)
    except RuntimeError as error:
        raise kayak.StoreBusyError(
            f"{place} is in use by another client, in this process or another one ({error}). Close that store, share "
            "one client through client=, or run a Qdrant server and use url="
        ) from error
    except OSError as error:
        raise kayak.StorePathError(
            f"{place} cannot be opened ({error}). Give a folder that can be created and written"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise kayak.StoreCorruptError(
            f"{place} cannot be read ({error}). Restore the folder from a backup, or give an empty one"
        ) from error
    return Connection(client, collection_name, place, True, path != MEMORY, False, _DEFAULT_TIMEOUT, True)


def _check_server(connection: Connection) -> None:
    """Refuse a server that is too old, or does not answer."""
    with connection.request():
        version = connection.client.info().version
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST_SERVER:
        oldest = ".".join(map(str, _OLDEST_SERVER))
        raise kayak.StoreVersionError(f"{connection.place} is version {version}; Kayak needs {oldest} or newer")
