"""The default store: one directory with an SQLite catalog and append-only, memory-mapped vector segments."""

from kayak.builtin.directory.compaction import CompactionReport
from kayak.builtin.directory.legacy import import_kayak_03_store
from kayak.builtin.directory.store import DirectoryLateStore
from kayak.builtin.directory.verification import VerificationReport

__all__ = ["CompactionReport", "DirectoryLateStore", "VerificationReport", "import_kayak_03_store"]
