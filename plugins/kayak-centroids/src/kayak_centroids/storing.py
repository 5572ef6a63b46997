"""`store_centroids`: a store's structure, built, extended or rebuilt."""

from __future__ import annotations

import time

import attrs
import kayak

from kayak_centroids.database import store_postings
from kayak_centroids.generator import CentroidInteraction
from kayak_centroids.report import CentroidReport, rebuild_reason
from kayak_centroids.stored import StoredCentroids, artifact_name, attach, merged
from kayak_centroids.structure import build_structure


def store_centroids(
    store: kayak.LateStore,
    generator: CentroidInteraction,
    *,
    rebuild: bool = False,
    backend: str = kayak.NUMPY_REFERENCE_BACKEND,
    show_progress: bool | None = None,
) -> CentroidReport:
    """Keep the generator's centroids and lists beside a store's documents, or bring what is kept up to date.

    A database with postings (`kayak.KeepsPostings`: PostgreSQL, Qdrant, LanceDB) keeps the centroids as its codebook
    and the lists in its own tables, for `centroid_postings_plan`; documents stream through memory in batches. The
    directory store keeps both for `centroid_search_plan`.

    The first call builds them. Later ones assign the documents that were written since to the centroids that are there,
    at the cost of these documents, and forget those that are gone. Searches do the same for themselves where that has
    not been done, and say so. Small pieces are merged, so that there are few however often this is called.

    The report's `rebuild_reason` says when new centroids would serve better: the corpus has grown fourfold, or the mean
    cosine between vectors and centroids has fallen so far that the rest to 1 is a quarter greater than at first.

    Args:
        store: a store that keeps postings or artifacts.
        generator: whose parameters other than `n_probe` count.
        rebuild: make new centroids even if the store keeps some.
        backend: computes the centroids, where it has kernels for them.
        show_progress: True shows a bar, False none; None shows one where tqdm is installed and stderr is a terminal.

    Raises:
        UnsupportedOperationError: the store keeps neither, or is read-only.
        InvalidInputError: the database keeps centroids of other parameters; `rebuild=True` replaces them.
        EmptySelectionError: the store is empty.
        StoreBusyError: somebody else has stored the same meanwhile, or held the store for too long.
        StoreCorruptError: what is stored is damaged; `rebuild=True` replaces it.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
    """
    executor = kayak.find_executor(backend)
    if isinstance(store, kayak.KeepsPostings):
        return store_postings(
            store, generator.build_parameters, rebuild=rebuild, executor=executor, show_progress=show_progress
        )
    start = time.perf_counter()
    index = store.load_index()
    if not isinstance(store, kayak.KeepsArtifacts) or index.origin is None:
        raise kayak.UnsupportedOperationError(
            f"store {type(store).__name__} keeps no structures beside its documents; centroids are then built for each "
            'index that it loads. The stores "kayak", "pgvector", "qdrant" and "lancedb" keep them'
        )
    parameters = generator.build_parameters
    name = artifact_name(parameters)
    keys = index.origin.document_keys
    parts = () if rebuild else store.artifacts.read(name)
    if parts:
        attached = attach(StoredCentroids.of_parts(name, parts), index, keys, executor, show_progress)
        structure, stored = attached.structure, attached.stored
        if attached.added or attached.outdated:
            stored = merged(attached)
            wanted = stored.as_parts()
            if [part.file for part in wanted] != [part.file for part in parts]:
                store.artifacts.write(name, wanted, seen=parts)
    else:
        structure = build_structure(index, parameters, executor, show_progress)
        stored = StoredCentroids.of_structure(structure, index, keys)
        store.artifacts.write(name, stored.as_parts(), seen=None if rebuild else ())
    report = CentroidReport.of_structure(structure, index, seconds=time.perf_counter() - start, built_now=not parts)
    reason = rebuild_reason(
        len(stored.centroids),
        (stored.vector_count, index.total_vector_count),
        (stored.mean_cosine, report.mean_cosine),
    )
    return attrs.evolve(report, rebuild_reason=reason)
