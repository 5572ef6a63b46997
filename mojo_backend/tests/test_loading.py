"""Libraries are proved before they are opened; what is not ours is refused with advice, and never ends the process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest
from kayak_mojo import cpu
from kayak_mojo.executor import MojoExactCpuExecutor
from kayak_mojo.selection import PREBUILT, select_kernels

BEST = cpu.levels()[0]


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def adopt(folder: Path, library: Path) -> None:
    """Put a library in the place of the best one, and have the manifest vouch for it."""
    target = folder / library.name
    if library != target:
        shutil.copy(library, target)
    entries = json.loads((folder / "manifest.json").read_text())["libraries"]
    entries[BEST] = [target.name, hashlib.sha256(target.read_bytes()).hexdigest()]
    rewrite(folder, libraries=entries)


def compiled_c(folder: Path, source: str) -> Path:
    gcc = shutil.which("gcc") or shutil.which("cc")
    if gcc is None:
        pytest.skip("there is no C compiler to make a foreign library with")
    (folder / "foreign.c").write_text(source)
    library = folder / "foreign.so"
    subprocess.run([gcc, "-shared", "-fPIC", "-o", str(library), str(folder / "foreign.c")], check=True)
    return library


def refusal(folder: Path) -> str:
    selection = select_kernels(folder)
    assert selection.kernels is None
    return selection.reason


def test_the_best_level_is_chosen_and_described(libraries: Path) -> None:
    selection = select_kernels(libraries)
    assert selection.kernels is not None
    assert (selection.kernels.level, selection.kernels.path.parent) == (BEST, libraries)
    info = MojoExactCpuExecutor().backend_info()
    assert info.available
    assert info.requires_mojo
    assert info.availability_reason == f"kernels of kayak-mojo, prebuilt for {BEST}"
    assert str(PREBUILT) in info.detail
    assert f"level {BEST}; Mojo " in info.detail


@pytest.mark.parametrize("level", cpu.levels())
def test_a_level_can_be_forced(level: str, libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAYAK_MOJO_LEVEL", level)
    kernels = select_kernels(libraries).kernels
    assert kernels is not None
    assert kernels.level == level


def test_levels_that_cannot_be_are_refused(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAYAK_MOJO_LEVEL", "x86-64-v9")
    assert "KAYAK_MOJO_LEVEL is 'x86-64-v9'; unset it, or set it to one of x86-64-v4," in refusal(libraries)
    monkeypatch.setenv("KAYAK_MOJO_LEVEL", "native")
    assert "no library compiled for this processor is there; `kayak mojo build` makes one" in refusal(libraries)
    monkeypatch.setenv("KAYAK_MOJO_NO_CACHE", "1")
    assert "is there, as KAYAK_MOJO_NO_CACHE is set" in refusal(libraries)
    other = "aarch64" if cpu.machine() == "x86_64" else "x86-64-v3"
    monkeypatch.setenv("KAYAK_MOJO_LEVEL", other)
    assert f"KAYAK_MOJO_LEVEL is '{other}', but this processor executes {', '.join(cpu.levels())}" in refusal(libraries)


def test_a_processor_without_a_library_is_told_so(libraries: Path) -> None:
    rewrite(libraries, libraries={"riscv64": ["libkayak_mojo-riscv64.so", "00"]})
    assert "installed with kernels for riscv64, and this processor" in refusal(libraries)
    assert "`kayak mojo build` compile them for this machine" in refusal(libraries)


def test_a_package_without_kernels_is_told_so(tmp_path: Path) -> None:
    assert "installed without compiled kernels; `pip install mojo` and then `kayak mojo build`" in refusal(tmp_path)


def test_an_altered_library_is_refused(libraries: Path) -> None:
    library = libraries / f"libkayak_mojo-{BEST}.so"
    good = library.read_bytes()
    altered = bytearray(good)
    altered[len(good) // 2] ^= 1
    for wrong in (bytes(altered), good[: len(good) // 2], b"", b"\x7fELF" + b"\xff" * 4000, b"#!/bin/sh\nexit 1\n"):
        library.write_bytes(wrong)
        assert f"{library} is damaged or foreign: its SHA-256 is" in refusal(libraries)
        assert "pip install --force-reinstall --no-deps kayak-mojo" in refusal(libraries)
    library.unlink()
    assert f"{library} cannot be read" in refusal(libraries)
    library.mkdir()
    assert f"{library} cannot be read" in refusal(libraries)


def test_a_damaged_manifest_is_refused(libraries: Path) -> None:
    manifest = libraries / "manifest.json"
    good = manifest.read_text()
    for wrong, says in {
        "": "cannot be read",
        good[: len(good) // 2]: "cannot be read",
        "[1]": "no manifest of format 1",
        good.replace('"format": 1', '"format": 2'): "no manifest of format 1",
        good.replace('"compiler"', '"complier"'): "is damaged",
        good.replace('"abi_version": 3', '"abi_version": 7'): "ABI 7, but this kayak-mojo calls ABI 3",
    }.items():
        assert wrong != good
        manifest.write_text(wrong)
        assert says in refusal(libraries)
    manifest.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal(libraries)
    manifest.write_text(good)
    rewrite(libraries, libraries=[])
    assert "is damaged" in refusal(libraries)
    rewrite(libraries, libraries={BEST: ["../libraries/x.so", "00"]})
    assert "names a library outside of it" in refusal(libraries)


def test_what_a_manifest_vouches_for_must_still_be_our_kernels(libraries: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library at all")
    adopt(libraries, text)
    assert "text.so cannot be loaded" in refusal(libraries)
    adopt(libraries, compiled_c(tmp_path, "int answer(void) { return 42; }"))
    assert "foreign.so is not a library of kayak-mojo" in refusal(libraries)


def test_a_library_of_another_abi_is_refused(libraries: Path, tmp_path: Path) -> None:
    adopt(libraries, compiled_c(tmp_path, "long kayak_abi_version(void) { return 4; }"))
    assert "foreign.so has ABI 4, but this kayak-mojo calls ABI 3" in refusal(libraries)


def test_an_impossible_panel_width_is_refused(libraries: Path, tmp_path: Path) -> None:
    names = ["kayak_maxsim_f32", "kayak_maxsim_f16", "kayak_maxsim_i8", "kayak_assign_f32", "kayak_assign_f16"]
    names += ["kayak_probe", "kayak_add_lists"]
    functions = "".join(f"void {name}(void) {{}}\n" for name in names)
    answers = "long kayak_abi_version(void) { return 3; }\nlong kayak_panel_width(void) { return 0; }\n"
    adopt(libraries, compiled_c(tmp_path, functions + answers))
    assert "gives the impossible panel width 0" in refusal(libraries)


def test_a_refused_library_is_an_error_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = MojoExactCpuExecutor()
    monkeypatch.setattr("kayak_mojo.executor.select_kernels", lambda: select_kernels(tmp_path))
    info = executor.backend_info()
    assert not info.available
    assert info.detail == ""
    block = kayak.IndexBlock(np.array([0, 1]), np.ones((1, 2), np.float32))
    with pytest.raises(kayak.BackendUnavailableError, match="installed without compiled kernels"):
        executor.maxsim(np.ones((1, 2), np.float32), np.array([0, 1]), block, None)


def test_nobody_is_switched_to_another_backend_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process of its own, as the executor of a process is chosen once.
    code = """
import kayak, numpy as np
index = kayak.documents(["a"], [np.eye(2)]).pack()
try:
    kayak.maxsim(kayak.query(np.eye(2)), index, backend=kayak.MOJO_EXACT_CPU_BACKEND)
except kayak.BackendUnavailableError as error:
    print(error)
print(kayak.open_text_retriever(encoder="hashing", store="memory").backend)
print(kayak.available_backends())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KAYAK_MOJO_LEVEL": "nonsense"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert "backend 'mojo_exact_cpu' cannot run here: the environment variable KAYAK_MOJO_LEVEL" in said[0]
    assert said[1:] == ["numpy_reference", "('numpy_reference',)"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3", 1),
        ("cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave", 2),
        ("cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma movbe xsave avx512f", 1),
        (
            "cx16 lahf_lm pni popcnt sse4_1 sse4_2 ssse3 abm avx avx2 bmi1 bmi2 f16c fma movbe xsave "
            "avx512bw avx512cd avx512dq avx512f avx512vl",
            3,
        ),
        ("avx512f fpu", 0),
        ("", 0),
    ],
)
def test_levels_need_all_their_features(flags: str, expected: int) -> None:
    assert cpu.x86_levels(flags) == cpu.X86_LEVELS[len(cpu.X86_LEVELS) - expected :]


def test_other_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for function in (cpu.levels, cpu.identity):
        function.cache_clear()
    try:
        monkeypatch.setattr("platform.machine", lambda: "ARM64")
        assert (cpu.machine(), cpu.levels()) == ("aarch64", ("aarch64",))
        on_arm = cpu.identity()
        monkeypatch.setattr("platform.machine", lambda: "riscv64")
        cpu.levels.cache_clear()
        assert cpu.levels() == ()
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "not mounted")
        cpu.levels.cache_clear()
        assert cpu.levels() == ()
        cpu.identity.cache_clear()
        assert cpu.identity() != on_arm
        sysctl = tmp_path / "sysctl"
        sysctl.write_text("#!/bin/sh\necho Apple M9 $2\n")
        sysctl.chmod(0o755)
        monkeypatch.setattr(cpu, "_SYSCTL", str(sysctl))
        monkeypatch.setattr(sys, "platform", "darwin")
        cpu.levels.cache_clear()
        assert cpu.levels() == ()  # Mojo does not compile for Intel's Macs
        cpu.identity.cache_clear()
        first = cpu.identity()
        sysctl.write_text("#!/bin/sh\necho Apple M10 $2\n")
        cpu.identity.cache_clear()
        assert cpu.identity() != first
    finally:
        monkeypatch.undo()
        for function in (cpu.levels, cpu.identity):
            function.cache_clear()
