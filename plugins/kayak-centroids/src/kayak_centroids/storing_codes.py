"""`prepare_codes` and `store_codes`: residual codes of an index made beforehand, and of a store kept beside it."""

from __future__ import annotations

import time

import attrs
import kayak

from kayak_centroids.codes import IndexCodes, mean_fit
from kayak_centroids.residual_maxsim import ResidualMaxsim
from kayak_centroids.stored_codes import StoredCodes, attach_codes, codes_name, merged_codes
from kayak_centroids.structure import checked_index

_ERROR_GROWTH = 1.25
"""Levels that leave this much more of the mean cosine to 1 than at first no longer suit the corpus."""

_SMALLEST_ERROR = 1e-4
"""Codes this near to the vectors need no better levels."""


@attrs.frozen
class CodesReport:
    """What residual codes of an index are like.

    Attributes:
        residual_bits: bits of a component.
        centroid_count: centroids that the codes refer to.
        document_count: documents.
        vector_count: token vectors.
        bytes_a_vector: bytes of the codes of one vector.
        byte_size: bytes of codes, centroids and levels.
        vector_byte_size: bytes of the vectors themselves, as the index has them.
        mean_cosine: mean cosine between vectors and what their codes stand for, over documents.
        built_by: what computed them: a backend, or "numpy".
        build_seconds: how long that took.
        built_now: whether this call made them all.
        rebuild_reason: why stored codes should be made anew, or None; see `store_codes`.
    """

    residual_bits: int
    centroid_count: int
    document_count: int
    vector_count: int
    bytes_a_vector: int
    byte_size: int
    vector_byte_size: int
    mean_cosine: float
    built_by: str
    build_seconds: float
    built_now: bool
    rebuild_reason: str | None = None

    @classmethod
    def of(cls, codes: IndexCodes, index: kayak.LateIndex, *, seconds: float, built_now: bool) -> CodesReport:
        """Describe codes that serve an index."""
        quantiser = codes.quantiser
        return cls(
            quantiser.bits,
            len(quantiser.centroids),
            index.document_count,
            index.total_vector_count,
            quantiser.bytes_a_vector,
            codes.byte_size,
            index.vector_byte_size,
            mean_fit(codes.fit),
            codes.built_by,
            seconds,
            built_now,
        )


def prepare_codes(
    index: kayak.LateIndex,
    operator: ResidualMaxsim,
    *,
    backend: str = kayak.NUMPY_REFERENCE_BACKEND,
    show_progress: bool | None = None,
) -> CodesReport:
    """Make the codes that the operator needs for an index, unless an earlier search did, and say what they are like.

    Searching does the same on first use; this does it beforehand, with a progress bar.

    Args:
        index: the documents.
        operator: which codes to make; operators that differ in `rescore_k` only share them.
        backend: the backend that will search.
        show_progress: True shows a bar, False none; None shows one where tqdm is installed and stderr is a terminal.

    Raises:
        InvalidTypeError: not an index, or not this operator.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
        MissingDependencyError: a bar is asked for and tqdm is not installed.
    """
    checked_index(index)
    prepared = _checked(operator).prepare(index, kayak.find_executor(backend), show_progress=show_progress)
    return CodesReport.of(prepared.value, index, seconds=prepared.elapsed_seconds, built_now=prepared.built_now)


def store_codes(
    store: kayak.LateStore,
    operator: ResidualMaxsim,
    *,
    rebuild: bool = False,
    backend: str = kayak.NUMPY_REFERENCE_BACKEND,
    show_progress: bool | None = None,
) -> CodesReport:
    """Keep the operator's residual codes beside a store's documents, or bring what is kept up to date.

    The first call makes them, over the centroids that the store keeps of the same parameters or over new ones; the
    codes hold a copy of these, so that new centroids do not invalidate them. Later calls code the documents that were
    written since, at the cost of these documents, and forget those that are gone. Searches do the same for themselves
    where that has not been done, and say so.

    The report's `rebuild_reason` says when new levels would serve better: the mean cosine between vectors and what
    their codes stand for has fallen so far that the rest to 1 is a quarter greater than at first.

    Args:
        store: a store that keeps artifacts, such as "kayak".
        operator: whose parameters other than `rescore_k` count.
        rebuild: make new codes even if the store keeps some.
        backend: assigns vectors to centroids, where it has kernels for that.
        show_progress: True shows a bar, False none; None shows one where tqdm is installed and stderr is a terminal.

    Raises:
        InvalidTypeError: not this operator.
        UnsupportedOperationError: the store keeps no artifacts, or is read-only.
        EmptySelectionError: the store is empty.
        StoreBusyError: somebody else has stored the same meanwhile, or held the store for too long.
        StoreCorruptError: what is stored is damaged; `rebuild=True` replaces it.
        StoreVersionError: what is stored has another format; `rebuild=True` replaces it.
        UnknownKindError, BackendUnavailableError: see `kayak.maxsim`.
    """
    parameters = _checked(operator).centroids.build_parameters
    executor = kayak.find_executor(backend)
    start = time.perf_counter()
    index = store.load_index()
    if not isinstance(store, kayak.KeepsArtifacts) or index.origin is None:
        raise kayak.UnsupportedOperationError(
            f"store {type(store).__name__} keeps no structures beside its documents; codes are then made for each "
            'index that it loads. The store "kayak" keeps them'
        )
    name = codes_name(operator.residual_bits, parameters)
    keys = index.origin.document_keys
    parts = () if rebuild else store.artifacts.read(name)
    if parts:
        attached = attach_codes(StoredCodes.of_parts(name, parts), index, keys, executor, show_progress)
        codes, stored = attached.codes, attached.stored
        if attached.added or attached.outdated:
            stored = merged_codes(attached)
            wanted = stored.as_parts()
            if [part.file for part in wanted] != [part.file for part in parts]:
                store.artifacts.write(name, wanted, seen=parts)
    else:
        codes = operator.make(index, executor, show_progress=show_progress)
        stored = StoredCodes.of_codes(codes, keys)
        store.artifacts.write(name, stored.as_parts(), seen=None if rebuild else ())
    report = CodesReport.of(codes, index, seconds=time.perf_counter() - start, built_now=not parts)
    return attrs.evolve(report, rebuild_reason=_rebuild_reason(stored.mean_cosine, report.mean_cosine))


def _checked(operator: ResidualMaxsim) -> ResidualMaxsim:
    if not isinstance(operator, ResidualMaxsim):
        raise kayak.InvalidTypeError(
            f"expected a ResidualMaxsim, got {type(operator).__name__}; make one with "
            "kayak_centroids.ResidualMaxsim(residual_bits=4)"
        )
    return operator


def _rebuild_reason(first: float, now: float) -> str | None:
    if 1.0 - now > max(_ERROR_GROWTH * (1.0 - first), _SMALLEST_ERROR):
        return (
            f"the mean cosine between vectors and what their codes stand for has fallen from {first:.4f} to {now:.4f} "
            "since their levels were spaced"
        )
    return None
