"""A Kayak store in Chroma: `kayak.open_store("chromadb", path=…)`."""

__version__ = "1.0.0"
