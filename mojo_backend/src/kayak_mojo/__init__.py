"""The Kayak executor `mojo_exact_cpu`: exact MaxSim in compiled Mojo kernels.

Kayak finds it by its entry point; name it as `backend=kayak.MOJO_EXACT_CPU_BACKEND`. This module imports nothing, so
that the build hook can use its siblings `compiling`, `cpu` and `manifest` before Kayak is installed.
"""

__version__ = "1.0.0"
