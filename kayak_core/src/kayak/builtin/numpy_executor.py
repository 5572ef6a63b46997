"""The executor `numpy_reference`: exact MaxSim through BLAS, the definition of correct."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import attrs
import numpy as np

from kayak.builtin.numpy_maxsim import maxsim_block
from kayak.contracts import BackendInfo
from kayak.typing import Float32Matrix, Int64Vector
from kayak.values import IndexBlock
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND
from kayak.values.element_types import VECTOR_DTYPES


@functools.cache
def _blas_name() -> str:
    config: Any = np.show_config(mode="dicts")
    blas = (config or {}).get("Build Dependencies", {}).get("blas", {})
    return f"NumPy {np.__version__}, BLAS {blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


@attrs.frozen
class NumpyReferenceExecutor:
    """Exact MaxSim in NumPy: matrix products over cache-sized groups of documents, then a segmented maximum."""

    name: ClassVar[str] = NUMPY_REFERENCE_BACKEND

    def backend_info(self) -> BackendInfo:
        """Describe the executor and the BLAS behind it."""
        return BackendInfo(
            self.name,
            available=True,
            availability_reason="NumPy is always installed with kayak-core",
            detail=_blas_name(),
            vector_dtypes=VECTOR_DTYPES,
        )

    def maxsim(
        self,
        query_vectors: Float32Matrix,
        query_offsets: Int64Vector,
        block: IndexBlock,
        positions: Int64Vector | None,
    ) -> Float32Matrix:
        """Score documents of one block for every query of a batch; see `kayak.Executor.maxsim`."""
        return maxsim_block(query_vectors, query_offsets, block.vectors, block.offsets, positions, block.scales)
