"""The hook through which Kayak finds the executor."""

from __future__ import annotations

from collections.abc import Iterator

import kayak


def _open_executor() -> kayak.Executor:
    from kayak_mojo.executor import MojoExactCpuExecutor

    return MojoExactCpuExecutor()


@kayak.hookimpl
def kayak_executors() -> Iterator[kayak.ExecutorSpec]:
    """Provide `mojo_exact_cpu`; it says itself whether it can run here."""
    yield kayak.ExecutorSpec(
        name=kayak.MOJO_EXACT_CPU_BACKEND,
        factory=_open_executor,
        summary="exact MaxSim in compiled Mojo kernels",
        preference=10,
    )
