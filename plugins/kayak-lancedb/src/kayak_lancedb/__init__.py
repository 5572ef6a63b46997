"""A Kayak store in LanceDB: `kayak.open_store("lancedb", path="late.lancedb")`."""

from __future__ import annotations

__version__ = "1.0.0"
