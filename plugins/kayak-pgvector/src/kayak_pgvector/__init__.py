"""PostgreSQL with pgvector as a Kayak store: `kayak.open_store("pgvector", dsn=..., table_name=...)`."""

from __future__ import annotations

__version__ = "1.0.0"
