"""One process a folder: an advisory lock, because two processes on one embedded Chroma corrupt its vector index."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import attrs
import filelock
import kayak

LOCK_FILE = "kayak.lock"


@attrs.define(eq=False)
class _Holding:
    lock: filelock.BaseFileLock
    users: int = 0
    writing: threading.RLock = attrs.field(factory=threading.RLock)


_guard = threading.Lock()
# By process too: a forked child inherits this table, but must not believe that it holds its parent's locks.
_holdings: dict[tuple[int, str], _Holding] = {}


class FolderLock:
    """Holds a folder for this process until `release`; several stores of one process share it.

    Args:
        folder: the folder, which is created where it does not exist.

    Attributes:
        writing: serialises the writers of this process.

    Raises:
        StoreBusyError: another process holds the folder.
        StoreAccessError: the folder cannot be written.
        StorePathError: it cannot be a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._key = (os.getpid(), str(folder))
        with _guard:
            holding = _holdings.get(self._key)
            if holding is None:
                holding = _holdings[self._key] = _Holding(_locked(folder))
            holding.users += 1
            self.writing = holding.writing

    def release(self) -> None:
        """Let go of the folder; the last store of the process that does so lets other processes in."""
        with _guard:
            holding = _holdings[self._key]
            holding.users -= 1
            if not holding.users:
                del _holdings[self._key]
                holding.lock.release()


def _locked(folder: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(folder / LOCK_FILE, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise kayak.StoreBusyError(
            f"{folder} is open in another process, and two processes on one embedded Chroma corrupt its index; close "
            f"it there, or serve it with `chroma run --path {folder}` and open it from every process with host= and "
            "port="
        ) from error
    except PermissionError as error:
        raise kayak.StoreAccessError(
            f"{folder} cannot be written ({error.strerror}); Chroma writes even to open a database: correct the "
            "folder's rights, or copy it to a place of your own"
        ) from error
    except OSError as error:
        raise kayak.StorePathError(
            f"{folder} cannot be used as a folder ({error.strerror}); give another path"
        ) from error
    return lock
