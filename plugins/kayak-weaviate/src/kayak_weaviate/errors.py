"""Weaviate's failures as Kayak's errors, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
import httpx
import kayak
from weaviate import exceptions as weaviate_errors

_ACCESS_CODES: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_OUTAGE_CODES: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)
_OUTAGES: Final = (
    httpx.TransportError,
    weaviate_errors.WeaviateConnectionError,
    weaviate_errors.WeaviateGRPCUnavailableError,
    weaviate_errors.WeaviateRetryError,
    weaviate_errors.WeaviateStartUpError,
    weaviate_errors.WeaviateTimeoutError,
)
CLIENT_ERRORS: Final = (weaviate_errors.WeaviateBaseError, httpx.HTTPError, grpc.RpcError)
"""What the client library raises for anything that goes wrong between it and the server."""


class AnswerTooLargeError(kayak.StoreError):
    """An answer is larger than a gRPC message may be; asking for fewer documents helps."""


@contextmanager
def translated(operation: str, place: str) -> Iterator[None]:
    """Raise what the client library raises in the block as an error of Kayak's.

    Args:
        operation: what was tried, for example "write documents".
        place: where, for example "collection 'LateDocument' at http://localhost:8080".
    """
    try:
        yield
    except CLIENT_ERRORS as error:
        raise translate_error(error, operation, place) from error


def translate_error(error: Exception, operation: str, place: str) -> kayak.StoreError:
    """Return Kayak's error for one of `CLIENT_ERRORS`."""
    code, status, message = _grpc_code(error), _http_status(error), " ".join(str(error).split())[:500]
    failed = f"{place}: could not {operation}"
    if isinstance(error, weaviate_errors.WeaviateClosedClientError):
        return kayak.StoreUnavailableError(
            f"{failed}: the Weaviate client is closed; call its connect() again, or open the store with url="
        )
    if is_refusal(error, code, status):
        return kayak.StoreAccessError(
            f"{failed}: Weaviate refuses; check api_key= and the rights of its user. Weaviate says: {message}"
        )
    if is_read_only(message):
        return kayak.StoreAccessError(f"{failed}: {advice(message)}Weaviate says: {message}")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return AnswerTooLargeError(
            f"{failed}: a message is larger than the server allows; raise GRPC_MAX_MESSAGE_SIZE there, or store "
            f"shorter documents. Weaviate says: {message}"
        )
    if isinstance(error, _OUTAGES) or code in _OUTAGE_CODES or status in {429, 502, 503, 504}:
        return kayak.StoreUnavailableError(
            f"{failed}: the server does not answer; check that it runs, that the address and both ports (HTTP and "
            f"gRPC) are right, and whether timeout= is long enough. Weaviate says: {message}"
        )
    return kayak.StoreError(f"{failed}: {advice(message)}Weaviate says: {message}")


def is_read_only(message: str) -> bool:
    """Return whether Weaviate says that it accepts no writes."""
    return "read-only" in message or "READONLY" in message


def advice(message: str) -> str:
    """Return what to do about a failure that Weaviate describes in words alone; empty where nothing is known."""
    if is_read_only(message):
        return (
            "Weaviate has made it read-only, which it does when the disk is nearly full; free some space and set the "
            "shards to READY again. "
        )
    lowered = message.lower()
    if "maximum results exceeded" in lowered:
        return "Weaviate returns at most QUERY_MAXIMUM_RESULTS objects (10,000 by default); ask for fewer or raise it. "
    if "could not find class" in lowered or "class not found" in lowered or "not found in schema" in lowered:
        return "the collection is gone; open the store again to create it anew. "
    if "vector with length" in lowered or "vector lengths don't match" in lowered:
        return (
            "the collection's index keeps the dimension of the first vectors it saw, even when it is emptied; encode "
            "with the same encoder, or use another collection. "
        )
    return ""


def is_refusal(error: Exception, code: grpc.StatusCode | None, status: int | None) -> bool:
    """Return whether the server understood and does not allow it."""
    refusals = (
        weaviate_errors.AuthenticationFailedError,
        weaviate_errors.InsufficientPermissionsError,
        weaviate_errors.MissingScopeError,
    )
    return isinstance(error, refusals) or code in _ACCESS_CODES or status in {401, 403}


def _http_status(error: Exception) -> int | None:
    if isinstance(error, weaviate_errors.UnexpectedStatusCodeError):
        return error.status_code
    return None


def _grpc_code(error: BaseException) -> grpc.StatusCode | None:
    """Return the status of the gRPC call behind an error: the client keeps it only as the error's cause or context."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, grpc.RpcError) and isinstance(seen, grpc.Call):
            code: grpc.StatusCode = seen.code()
            return code
        seen = seen.__cause__ or seen.__context__
    return None
