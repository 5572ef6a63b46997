"""A loaded kernel library: its functions with their C types, and what it is."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np

from kayak_mojo.manifest import ABI_VERSION, Manifest, ManifestError, library_path, read_manifest

_ADDRESS, _INT = ctypes.c_void_p, ctypes.c_ssize_t
# panels, panel_count, query_offsets, query_count, vectors, offsets, positions, lo, hi, dim, maxima, out, out_stride
_MAXSIM = (_ADDRESS, _INT, _ADDRESS, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _INT, _INT, _INT, _ADDRESS, _ADDRESS, _INT)
# panels, panel_count, query_offsets, query_count, codes, codes_stride, scales, scales_stride, offsets, … as above
_MAXSIM_CODES = (*_MAXSIM[:5], _INT, _ADDRESS, _INT, *_MAXSIM[5:])
# panels, panel_count, vectors, lo, hi, dim, codes, similarities
_ASSIGN = (_ADDRESS, _INT, _ADDRESS, _INT, _INT, _INT, _ADDRESS, _ADDRESS)
# panels, panel_count, centroid_count, vectors, lo, hi, dim, count, scratch, positions, centroids, similarities
_PROBE = (_ADDRESS, _INT, _INT, _ADDRESS, _INT, _INT, _INT, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS)
# probed, gains, probes, token_lo, token_hi, list_offsets, postings, document_lo, document_hi, document_count, marks,
# scores
_ADD_LISTS = (_ADDRESS, _ADDRESS, _INT, _INT, _INT, _ADDRESS, _ADDRESS, _INT, _INT, _INT, _ADDRESS, _ADDRESS)
_MAX_PANEL_WIDTH = 1024

KernelFunction = Callable[..., None]
"""A function of a library; see `_MAXSIM` and its siblings for its arguments."""

_ByElementType = dict[np.dtype[np.generic], KernelFunction]


@attrs.frozen(eq=False)
class Kernels:
    """The functions of one loaded library.

    Attributes:
        path: the library's file.
        level: the level that it was compiled for, or "native".
        compiler: the compiler that made it.
        panel_width: query vectors in a panel, see `packing.pack_panels`.
        maxsim: the scoring function for each element type of documents; that of int8 takes strides and scales too.
        assign: finds each vector's most similar centroid, for each element type.
        probe: finds each query vector's most similar centroids.
        add_lists: adds up posting lists.
    """

    path: Path
    level: str
    compiler: str
    panel_width: int
    maxsim: _ByElementType
    assign: _ByElementType
    probe: KernelFunction
    add_lists: KernelFunction


def load_kernels(manifest_path: Path, level: str) -> Kernels:
    """Load the library of a level after checking its bytes: opening a damaged library could end the process.

    Raises:
        ManifestError: the manifest or the library is missing, damaged, foreign, or of another ABI.
    """
    manifest = read_manifest(manifest_path)
    return _loaded(library_path(manifest_path.parent, manifest, level), manifest, level)


def _loaded(path: Path, manifest: Manifest, level: str) -> Kernels:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ManifestError(f"{path} cannot be loaded: {error}") from error
    try:
        version = _answer(library, "kayak_abi_version")
        if version != ABI_VERSION:
            raise ManifestError(f"{path} has ABI {version}, but this kayak-mojo calls ABI {ABI_VERSION}")
        width = _answer(library, "kayak_panel_width")
        maxsim = _by_element_type(library, "kayak_maxsim", _MAXSIM)
        maxsim[np.dtype(np.int8)] = _function(library, "kayak_maxsim_i8", _MAXSIM_CODES)
        assign = _by_element_type(library, "kayak_assign", _ASSIGN)
        probe = _function(library, "kayak_probe", _PROBE)
        add_lists = _function(library, "kayak_add_lists", _ADD_LISTS)
    except AttributeError as error:
        raise ManifestError(f"{path} is not a library of kayak-mojo: {error}") from error
    if not 1 <= width <= _MAX_PANEL_WIDTH:
        raise ManifestError(f"{path} gives the impossible panel width {width}")
    return Kernels(path, level, manifest.compiler, width, maxsim, assign, probe, add_lists)


def _answer(library: ctypes.CDLL, name: str) -> int:
    function = library[name]
    function.restype, function.argtypes = _INT, ()
    return int(function())


def _by_element_type(library: ctypes.CDLL, name: str, arguments: tuple[type, ...]) -> _ByElementType:
    return {
        np.dtype(dtype): _function(library, f"{name}_{suffix}", arguments)
        for dtype, suffix in ((np.float32, "f32"), (np.float16, "f16"))
    }


def _function(library: ctypes.CDLL, name: str, arguments: tuple[type, ...]) -> KernelFunction:
    function = library[name]
    function.restype, function.argtypes = None, arguments
    return function
