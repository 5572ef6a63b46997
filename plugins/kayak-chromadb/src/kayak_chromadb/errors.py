"""What Chroma and its HTTP client raise, as Kayak's errors with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import chromadb.errors as chroma_errors
import httpx
import kayak

_Kinds: TypeAlias = tuple[type[Exception], ...]
_REMEDIES: tuple[tuple[_Kinds, tuple[str, ...], type[kayak.KayakError], str], ...] = (
    (
        (chroma_errors.ChromaAuthError, chroma_errors.AuthorizationError),
        ("unauthorized", "forbidden", "permission denied", "readonly database", "read-only file system"),
        kayak.StoreAccessError,
        "refuses access ({}); check the credentials in `headers`, the tenant and the database, or the rights to "
        "write to the folder",
    ),
    (
        (),
        ("payload too large", "length limit exceeded"),
        kayak.InvalidInputError,
        "refuses a request of this size ({}); a single document with its vectors and text exceeds the server's "
        "limit: split the document, or use path= instead of a server",
    ),
    (
        (chroma_errors.NotFoundError,),
        (),
        kayak.StoreSchemaError,
        "is gone ({}); somebody deleted the collection, the database or the tenant: open the store again to create "
        "the collection anew",
    ),
    (
        (chroma_errors.InvalidArgumentError,),
        (),
        kayak.InvalidInputError,
        "refuses an argument: {}",
    ),
    (
        (),
        ("file exists", "not a directory", "no such file or directory", "unable to open database file"),
        kayak.StorePathError,
        "cannot be opened ({}); give the path of a folder that exists or can be created",
    ),
)
"""By kind or by words in the message: what to raise instead, and what to say."""


@contextmanager
def chroma_calls(place: str) -> Iterator[None]:
    """Turn what Chroma raises inside the block into an error of Kayak that names `place`.

    Raises:
        StoreUnavailableError: the server cannot be reached or dropped the connection.
        StoreAccessError: wrong credentials, or a database that cannot be written.
        StoreSchemaError: the collection is gone.
        StorePathError: the folder cannot be used.
        InvalidInputError: Chroma refuses an argument, for example a dimension or a name.
        StoreError: anything else that Chroma reports.
    """
    try:
        yield
    except Exception as error:
        known = _translated(error, place)
        if known is None:
            raise
        raise known from error


def _translated(error: Exception, place: str) -> kayak.KayakError | None:
    """Return Kayak's error for one of Chroma's; None for an exception that is not Chroma's."""
    message = str(error) or type(error).__name__
    lower = message.lower()
    if isinstance(error, httpx.HTTPError) or "could not connect to a chroma server" in lower:
        return kayak.StoreUnavailableError(
            f"{place} does not answer ({message}); check that the server runs and that host, port and ssl are right, "
            "for example with `chroma run --path FOLDER --host 127.0.0.1 --port 8000`"
        )
    # Where a response is none of Chroma's own errors, its client raises a bare `Exception` with the body.
    if not isinstance(error, chroma_errors.ChromaError) and type(error) is not Exception:
        return None
    for kinds, words, made, remedy in _REMEDIES:
        if isinstance(error, kinds) or any(word in lower for word in words):
            return made(f"{place} {remedy.format(message)}")
    return kayak.StoreError(f"{place} failed: {message}")
