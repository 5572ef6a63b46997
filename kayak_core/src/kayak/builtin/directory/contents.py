"""Texts and metadata of a snapshot's documents, checked as they are read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.rows import contents_are_intact, select_in
from kayak.builtin.directory.snapshot import Snapshot
from kayak.typing import Int64Vector

_SELECT = "SELECT ordinal, text, metadata FROM contents"
_SCAN_FROM = 4
"""A scan is cheaper than look-ups from one document in this many on."""


def read_contents(
    connection: sqlite3.Connection, snapshot: Snapshot, numbers: Int64Vector | None, catalog: Path
) -> list[tuple[str | None, str]]:
    """Return (text, metadata as JSON text) of the given documents (None: all), in the given order.

    Raises:
        StoreCorruptError: a row is missing or altered.
    """
    rows: Iterable[tuple[Any, ...]]
    ordinals = (snapshot.ordinals if numbers is None else snapshot.ordinals[numbers]).tolist()
    if len(ordinals) * _SCAN_FROM > len(snapshot.ids):
        rows = connection.execute(f"{_SELECT} LIMIT {len(snapshot.ids) + 1}")
    else:
        rows = select_in(connection, f"{_SELECT} WHERE ordinal IN", ordinals)
    found = {row[0]: row[1:] for row in rows}
    crcs = (snapshot.contents_crcs if numbers is None else snapshot.contents_crcs[numbers]).tolist()
    contents = []
    for place, (ordinal, crc) in enumerate(zip(ordinals, crcs, strict=True)):
        text, metadata = found.get(ordinal, (None, None))
        if not contents_are_intact(text, metadata, crc):
            number = place if numbers is None else int(numbers[place])
            raise corrupt(
                catalog, f"the text or metadata of document {snapshot.ids[number]!r} does not match its checksum"
            )
        contents.append((text, metadata))
    return contents
