"""The exceptions that Kayak raises.

Every one derives from `KayakError`, and also from the built-in class that callers already catch for that kind of
mistake (`ValueError`, `TypeError`, `OSError`, …). Messages say what was given, what was expected and what to do.
"""

from __future__ import annotations


class KayakError(Exception):
    """Base class of every exception that Kayak raises on purpose."""


class InvalidInputError(KayakError, ValueError):
    """A value is malformed: wrong shape, not finite, misaligned, out of range."""


class InvalidTypeError(KayakError, TypeError):
    """An argument has a type that cannot be used here."""


class FilterError(InvalidInputError):
    """A `where` filter or a metadata row is malformed."""


class ScoreOverflowError(KayakError, OverflowError, ValueError):
    """Scores left the range of float32, so a ranking would be meaningless."""


class EmptySelectionError(KayakError, ValueError):
    """A selection of documents matched nothing where at least one is needed."""


class UnknownKindError(KayakError, ValueError):
    """No registered plugin provides the kind that was asked for."""


class DuplicateKindError(KayakError, ValueError):
    """Two providers claim the same kind name."""


class PluginError(KayakError, RuntimeError):
    """A plugin that was asked for is broken."""


class BackendUnavailableError(KayakError, RuntimeError):
    """The executor exists, but cannot run on this machine."""


class MissingDependencyError(KayakError, ImportError):
    """An optional package is needed for this feature and is not installed."""


class UnsupportedOperationError(KayakError, ValueError):
    """The object does not declare the capability that the call needs."""


class EncodingError(KayakError, ValueError):
    """An encoder returned something that is not a matrix of token vectors."""


class StoreError(KayakError):
    """Base class of everything that can go wrong in a store."""


class StorePathError(StoreError, OSError):
    """The store's path cannot be used: unwritable, a file where a folder is needed, not a store."""


class StoreClosedError(StoreError, ValueError):
    """The store was used after `close()`."""


class StoreBusyError(StoreError, TimeoutError):
    """Another writer held the store for longer than the timeout."""


class StoreCorruptError(StoreError):
    """Stored bytes are truncated, altered or foreign. The message names the file and the remedy."""


class StoreVersionError(StoreError):
    """The store was written in a format that this version cannot read."""


class EncoderMismatchError(StoreError, ValueError):
    """The corpus was encoded by another encoder than the one in use."""
