"""The Kayak store `weaviate`: documents with their token vectors in a Weaviate collection.

Kayak finds it by its entry point; open it with `kayak.open_store("weaviate", url=...)`. This module imports nothing,
so that listing kinds does not load Weaviate's client.
"""

__version__ = "1.0.0"
