"""Translation of the client's exceptions into Kayak's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import kayak
import psycopg
from psycopg import errors as pg

_REFUSED_AT_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist|not permitted to log in|"
    r"permission denied for database"
)


@attrs.frozen
class _Rule:
    """What errors of some kinds become; the template gets `place` and `said`."""

    errors: tuple[type[psycopg.Error], ...]
    becomes: type[kayak.StoreError]
    template: str


_LOGIN = "{place} refuses the login: {said}. Check user, password and database of `dsn`."
_RULES = (
    _Rule((pg.InvalidAuthorizationSpecification, pg.InvalidPassword), kayak.StoreAccessError, _LOGIN),
    _Rule(
        (pg.ReadOnlySqlTransaction,),
        kayak.StoreAccessError,
        "{place} is read-only here: {said}. Write through the primary server, with a role and a session that may write "
        "(default_transaction_read_only = off).",
    ),
    _Rule(
        (pg.InsufficientPrivilege,),
        kayak.StoreAccessError,
        "{place}: the role lacks a right: {said}. GRANT it, or connect as the owner of the table.",
    ),
    _Rule(
        (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedObject, pg.InvalidSchemaName, pg.NotNullViolation),
        kayak.StoreSchemaError,
        "{place} is no longer as it was when the store was opened: {said}. Restore it, or open the store again, which "
        "creates missing tables.",
    ),
    _Rule(
        (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable),
        kayak.StoreBusyError,
        "{place} is busy: {said}. The transaction was rolled back; call again, writing the same twice is harmless.",
    ),
    _Rule(
        (pg.ProgramLimitExceeded, pg.DiskFull, pg.OutOfMemory),
        kayak.StoreError,
        "{place} cannot hold this: {said}. Nothing of the batch was written.",
    ),
    _Rule(
        (pg.InFailedSqlTransaction,),
        kayak.StoreError,
        "the connection is in a failed transaction: {said}. Roll it back, then call again.",
    ),
    _Rule(
        (pg.QueryCanceled,),
        kayak.StoreUnavailableError,
        "{place} did not answer in time: {said}. Raise statement_timeout, or work in smaller portions.",
    ),
    _Rule(
        (psycopg.OperationalError, psycopg.InterfaceError),
        kayak.StoreUnavailableError,
        "{place} cannot be reached, or dropped the connection: {said}. Unless a write had returned, take it as not "
        "done; when the server is back, call again: writing the same twice is harmless.",
    ),
    _Rule((psycopg.Error,), kayak.StoreError, "{place}: {said}"),
)
_LOGIN_RULE = _RULES[0]
_POOL_RULE = _Rule(
    (psycopg.OperationalError,),
    kayak.StoreBusyError,
    "no connection of the pool became free: {said}. Enlarge the pool, or finish exports that hold one.",
)


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise errors of the database as `kayak.StoreError`.

    Args:
        place: what messages call the table and where it is; never with a password.

    Raises:
        StoreError: whatever the database or the client raised.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _store_error(error, place) from error


def _store_error(error: psycopg.Error, place: str) -> kayak.StoreError:
    said = str(error).strip().rstrip(".")
    rule = next(rule for rule in _RULES if isinstance(error, rule.errors))
    if _REFUSED_AT_LOGIN.search(said):  # libpq gives no code for what happens before the login
        rule = _LOGIN_RULE
    elif type(error).__name__ in ("PoolTimeout", "TooManyRequests"):  # of psycopg_pool, which is no dependency
        rule = _POOL_RULE
    return rule.becomes(rule.template.format(place=place, said=said))
