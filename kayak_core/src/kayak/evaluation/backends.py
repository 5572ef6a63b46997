"""Which backends a measurement covers."""

from __future__ import annotations

from collections.abc import Iterable

from kayak.errors import BackendUnavailableError, InvalidInputError
from kayak.plugins import find_executor, usable_backends
from kayak.values.coerce import string_tuple


def chosen_backends(backends: Iterable[str] | None) -> tuple[str, ...]:
    """Return the named backends, or all that can run here.

    Raises:
        InvalidTypeError: something else than a sequence of strings.
        InvalidInputError: none is named, or one twice.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
    """
    if backends is None:
        usable = tuple(usable_backends())
        if not usable:
            raise BackendUnavailableError("no backend can run here; kayak.doctor() says what is wrong with each")
        return usable
    named = string_tuple(backends, "backends")
    if not named:
        raise InvalidInputError("backends is empty; name at least one, or leave the argument out for all")
    if len(set(named)) != len(named):
        raise InvalidInputError(f"a backend is named twice: {', '.join(named)}")
    for backend in named:
        find_executor(backend)
    return named
