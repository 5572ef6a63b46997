"""LanceDB's exceptions as Kayak's: what failed, where, and what to do.

LanceDB raises `RuntimeError`, `ValueError` and `OSError` with the message of its Rust core, so the message decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kayak

CLIENT_ERRORS = (RuntimeError, ValueError, OSError)
"""What LanceDB and Arrow raise."""

ATTEMPTS = 10
"""How often a write is tried while other writers change the same documents; LanceDB repeats each one itself, too."""

_RUST_PLACE = re.compile(r",? ?/[^\s,]*\.rs:\d+(:\d+)?")

_KINDS: tuple[tuple[re.Pattern[str], type[kayak.StoreError], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error, advice)
    for pattern, error, advice in (
        (
            r"commit conflict|concurrent (commit|writers|transaction)|too many (concurrent|retries)|retryable",
            kayak.StoreBusyError,
            "other writers kept changing the table; write again, the same batch if it was one",
        ),
        (
            r"permission denied|read-only file system|os error (13|30)\b|access ?denied|forbidden|unauthori[sz]ed"
            r"|credential|status: 40[13]|invalid ?access ?key|signature ?does ?not ?match",
            kayak.StoreAccessError,
            "grant write access to the folder, or pass the credentials of the object storage in storage_options",
        ),
        (
            r"no space left|disk quota|os error (28|122)\b",
            kayak.StoreError,
            "free space on the disk, then write again; nothing of this batch was stored",
        ),
        (
            r"timed? ?out|connection|dns error|error sending request|os error (104|110|111|113)\b",
            kayak.StoreUnavailableError,
            "check the network and the endpoint, then try again; repeating a write is harmless",
        ),
        (
            r"(table|dataset).*(not found|does not exist)|not a directory",
            kayak.StoreError,
            "the table was dropped or moved while it was in use; open the store again",
        ),
        (
            r"corrupt|invalid magic|not found|no such file|unexpected (eof|end)|decode|checksum|invalid.*(footer|page"
            r"|manifest|metadata|range)|failed to fill|out of range|lance file|malformed|external error",
            kayak.StoreCorruptError,
            "files of the table are missing or damaged; restore the folder from a backup",
        ),
    )
)


@contextmanager
def translated(action: str, place: str) -> Iterator[None]:
    """Raise what LanceDB raises inside the block as a `StoreError`; errors of Kayak's own pass.

    Args:
        action: what was tried, for example "write documents to".
        place: names the table.
    """
    try:
        yield
    except kayak.KayakError:
        raise
    except CLIENT_ERRORS as error:
        raise translate(error, action, place) from error


def translate(error: Exception, action: str, place: str) -> kayak.StoreError:
    """Return the error of ours that stands for one of LanceDB's."""
    message = _RUST_PLACE.sub("", str(error)).strip() or type(error).__name__
    for pattern, kind, advice in _KINDS:
        if pattern.search(message):
            return kind(f"cannot {action} {place}: {advice} (LanceDB: {message:.600})")
    return kayak.StoreError(f"cannot {action} {place} (LanceDB: {message:.600})")


def is_conflict(error: Exception) -> bool:
    """Whether another writer's commit came in between, so that the same operation may succeed when repeated."""
    return _KINDS[0][0].search(str(error)) is not None


def retried(operation: Callable[[], object], refresh: Callable[[], object]) -> None:
    """Run an operation, again where another writer's commit came in between.

    Every attempt that meets a conflict means that somebody else's commit succeeded, so no pause is needed.

    Args:
        operation: what to run.
        refresh: moves the table's handle to the newest version before the next attempt.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            operation()
        except CLIENT_ERRORS as error:
            if not is_conflict(error):
                raise
            refresh()
        else:
            return
    operation()
