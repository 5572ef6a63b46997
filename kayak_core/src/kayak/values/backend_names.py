"""Names of the executors that Kayak itself publishes."""

from __future__ import annotations

from typing import Final

NUMPY_REFERENCE_BACKEND: Final = "numpy_reference"
"""Exact MaxSim in NumPy: the definition of correct, and the default of every low-level call."""

MOJO_EXACT_CPU_BACKEND: Final = "mojo_exact_cpu"
"""Exact MaxSim in compiled Mojo kernels, from the plugin kayak-mojo."""
