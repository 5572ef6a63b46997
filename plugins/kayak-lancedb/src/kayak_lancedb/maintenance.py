"""Maintenance: compaction, and the index that makes native search approximate and fast."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import kayak

from kayak_lancedb.schema import ID, VECTORS
from kayak_lancedb.search import vector_index_name

if TYPE_CHECKING:
    from lancedb.table import LanceTable

INDEX_TYPES = ("ivf_rq", "ivf_pq", "ivf_flat")
"""Types of index that `create_index` makes, from the smallest to the most exact."""

FEWEST_VECTORS = 256
"""Token vectors without which an index cannot be trained."""


@attrs.frozen
class CompactionReport:
    """What a compaction did.

    Attributes:
        reclaimed_byte_size: bytes by which the table's folder shrank; negative where it grew, because old versions are
            kept beside their compacted copy. None in object storage.
        storage_byte_size: bytes that it has now; None in object storage.
    """

    reclaimed_byte_size: int | None
    storage_byte_size: int | None


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder; those that are removed meanwhile do not count."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += 0 if file.is_dir() else file.stat().st_size
        except FileNotFoundError:  # a compaction of another process removed it
            continue
    return total


def optimize(table: LanceTable, keep: timedelta) -> None:
    """Join small files, drop deleted rows and versions older than `keep`, and bring indexes up to date.

    The ids get an index the first time, so that documents are fetched by id without reading all ids.
    """
    from lancedb.index import BTree

    if all(list(index.columns) != [ID] for index in table.list_indices()):
        table.create_index(ID, config=BTree())
    # LanceDB warns of zero on every call; what that means is described where the caller chooses it.
    table.optimize(cleanup_older_than=max(keep, timedelta(milliseconds=1)))


def checked_keep(keep: Any) -> timedelta:
    """Return the age of the versions to be kept.

    Raises:
        InvalidTypeError: no `timedelta`.
        InvalidInputError: a negative one.
    """
    if not isinstance(keep, timedelta):
        raise kayak.InvalidTypeError(f"keep must be a datetime.timedelta, got {type(keep).__name__}")
    if keep < timedelta(0):
        raise kayak.InvalidInputError(f"keep must not be negative, got {keep}")
    return keep


def index_config(index_type: Any, num_partitions: Any) -> Callable[[], Any]:
    """Return what makes the configuration of an index over the token vectors.

    Raises:
        InvalidTypeError: `num_partitions` is no integer.
        InvalidInputError: an unknown type, or no partition.
    """
    if index_type not in INDEX_TYPES:
        raise kayak.InvalidInputError(
            f"unknown index_type {index_type!r:.60}; expected one of {', '.join(INDEX_TYPES)}"
        )
    if num_partitions is not None and (isinstance(num_partitions, bool) or not isinstance(num_partitions, int)):
        raise kayak.InvalidTypeError(f"num_partitions must be an integer, got {type(num_partitions).__name__}")
    if num_partitions is not None and num_partitions < 1:
        raise kayak.InvalidInputError(f"num_partitions must be at least 1, got {num_partitions}")

    def make() -> Any:
        from lancedb.index import IvfFlat, IvfPq, IvfRq

        kinds: dict[str, Any] = {"ivf_rq": IvfRq, "ivf_pq": IvfPq, "ivf_flat": IvfFlat}
        # LanceDB indexes lists of vectors by cosine only.
        return kinds[index_type](distance_type="cosine", num_partitions=num_partitions)

    return make


def make_index(table: LanceTable, config: Any) -> None:
    """Index the token vectors, replacing the index that there is."""
    table.create_index(VECTORS, config=config, replace=True)


def remove_index(table: LanceTable) -> None:
    """Drop the index over the token vectors, if there is one."""
    name = vector_index_name(table)
    if name is not None:
        table.drop_index(name)
