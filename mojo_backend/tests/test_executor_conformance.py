"""`mojo_exact_cpu` keeps every promise of an executor, at every level that this processor executes."""

from __future__ import annotations

import kayak
import pytest
from kayak.testing import ExecutorConformance
from kayak_mojo import cpu
from kayak_mojo.executor import MojoExactCpuExecutor


class TestMojoExactCpu(ExecutorConformance):
    @pytest.fixture(params=cpu.levels())
    def executor(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> kayak.Executor:
        monkeypatch.setenv("KAYAK_MOJO_LEVEL", request.param)
        executor = MojoExactCpuExecutor()
        assert f"level {request.param}" in executor.backend_info().detail
        return executor
