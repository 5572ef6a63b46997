"""The Kayak store `qdrant`: documents as multivectors in Qdrant, in process or on a server.

Kayak finds it by its entry point: `kayak.open_store("qdrant", path=...)`. This module imports nothing.
"""

__version__ = "1.0.0"
