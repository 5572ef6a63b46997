"""Text in, ranked documents out: retrievers, sessions and moving corpora between stores."""

from kayak.retrieval.copying import copy_store
from kayak.retrieval.factory import open_text_retriever
from kayak.retrieval.progress import progress_bar
from kayak.retrieval.retriever import LateTextRetriever
from kayak.retrieval.session import LateTextSearchSession

__all__ = ["LateTextRetriever", "LateTextSearchSession", "copy_store", "open_text_retriever", "progress_bar"]
