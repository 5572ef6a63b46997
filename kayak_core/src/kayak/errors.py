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


class EncoderUnavailableError(KayakError, OSError):
    """An encoder's model cannot be loaded: it is not there, cannot be fetched, or is of another sort."""


class EncodingError(KayakError, ValueError):
    """A text cannot be encoded, or an encoder returned something that is not a matrix of token vectors.

    Attributes:
        position: which text of a batch is at fault, counted from 0, where known.
        doc_id: the document at fault, where known.
    """

    def __init__(self, message: str, *, position: int | None = None, doc_id: str | None = None) -> None:
        super().__init__(message)
        self.position = position
        self.doc_id = doc_id


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


class StoreUnavailableError(StoreError, ConnectionError):
    """The database cannot be reached, dropped the connection, or did not answer in time."""


class StoreAccessError(StoreError, PermissionError):
    """The database refuses: wrong credentials, missing rights, or it is read-only."""


class StoreSchemaError(StoreError, ValueError):
    """An existing table or collection was not made by Kayak, or differs from what is asked for; it is left alone."""


class StoreWriteError(StoreError):
    """A batch was written only in part. Writing the same batch again completes it.

    Attributes:
        written_doc_ids: ids of the documents that were written.
    """

    def __init__(self, message: str, *, written_doc_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.written_doc_ids = written_doc_ids


class EncoderMismatchError(StoreError, ValueError):
    """The corpus was encoded by another encoder than the one in use."""


class CodebookMismatchError(StoreError, ValueError):
    """Postings of another codebook than the store's were given, for example because it was replaced meanwhile."""
