"""What the client raises, as errors of Kayak's that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import grpc
import httpx
import kayak
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

_CLIENT_ERRORS = (
    grpc.RpcError,
    UnexpectedResponse,
    ResponseHandlingException,
    ResourceExhaustedResponse,
    sqlite3.Error,
    OSError,
    RuntimeError,  # the client was closed
    ValueError,  # local mode's answer to everything that a server would refuse
)
_UNAVAILABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"})
_DENIED = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_STATUS_NAMES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.CONFLICT: "ALREADY_EXISTS",
    HTTPStatus.REQUEST_TIMEOUT: "DEADLINE_EXCEEDED",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.BAD_GATEWAY: "UNAVAILABLE",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}
_LONGEST_DETAIL = 500


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise what the client raises inside as an error of Kayak's.

    Args:
        place: what is being used, for messages, for example "Qdrant at http://localhost:6333".

    Raises:
        StoreUnavailableError: the server cannot be reached, is overloaded or did not answer in time.
        StoreAccessError: the server refuses the key, or the key may only read.
        StoreError: anything else that the client reports.
    """
    try:
        yield
    except kayak.KayakError:
        raise
    except _CLIENT_ERRORS as error:
        raise _translation(error, place) from error


def status_of(error: BaseException) -> str | None:
    """Return the name of the gRPC status, or of the one that stands for the HTTP status; None where there is none."""
    if isinstance(error, grpc.Call):
        return str(error.code().name)
    if isinstance(error, UnexpectedResponse):
        return _STATUS_NAMES.get(error.status_code or 0)
    if isinstance(error, ResourceExhaustedResponse):
        return "RESOURCE_EXHAUSTED"
    if isinstance(error, ResponseHandlingException):
        if isinstance(error.source, httpx.TimeoutException):
            return "DEADLINE_EXCEEDED"
        return "UNAVAILABLE" if isinstance(error.source, httpx.TransportError) else None
    return None


def _detail(error: BaseException) -> str:
    if isinstance(error, grpc.Call):
        text = str(error.details())
    elif isinstance(error, UnexpectedResponse):
        text = f"HTTP {error.status_code}: {error.content.decode(errors='replace')}"
    elif isinstance(error, ResponseHandlingException):
        text = f"{type(error.source).__name__}: {error.source}"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_LONGEST_DETAIL]


def _translation(error: BaseException, place: str) -> kayak.StoreError:
    status, detail = status_of(error), _detail(error)
    if status in _UNAVAILABLE:
        return kayak.StoreUnavailableError(
            f"{place} does not answer ({detail}). Check that the server runs and that its address and ports are "
            "right (6333 for HTTP, 6334 for gRPC unless configured otherwise; prefer_grpc=False uses HTTP alone); "
            "raise timeout= if it is only slow. Writing the same documents again is safe"
        )
    if status in _DENIED:
        return kayak.StoreAccessError(
            f"{place} refuses access ({detail}). Give an api_key= that may read and write this collection"
        )
    if status == "NOT_FOUND":
        return kayak.StoreError(f"{place} no longer has the collection ({detail}). Open the store again")
    if isinstance(error, UnexpectedResponse) and error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return kayak.StoreError(
            f"{place} refuses a request of this size ({detail}). Use gRPC (prefer_grpc=True), or raise the server's "
            "service.max_request_size_mb"
        )
    return kayak.StoreError(f"{place} reports: {detail}")
