"""`kayak mojo build`: compiled for this processor, proved, published at once, and preferred while it is valid."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import kayak
import pytest
from kayak_mojo import cpu, local_build
from kayak_mojo.cache import libraries_folder, manifest_path
from kayak_mojo.compiling import (
    KERNELS,
    CompilerError,
    compile_kernels,
    compiler_version,
    kernels_folder,
    library_name,
    source_hash,
)
from kayak_mojo.library import load_kernels
from kayak_mojo.local_build import KernelBuildError, build_for_this_processor
from kayak_mojo.manifest import ManifestError, read_manifest
from kayak_mojo.selection import select_kernels
from kayak_mojo.verification import verify_kernels

RUN = [sys.executable, "-c", "from kayak.cli import main; main()", "mojo"]
BEST = cpu.levels()[0]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *arguments], env=os.environ | variables, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder into which two processes have built at the same time."""
    if kayak.mojo_bridge_info().cli is None:
        pytest.skip("there is no Mojo command line; `pip install 'kayak-mojo[compiler]'` brings it")
    folder = tmp_path_factory.mktemp("built")
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    processes = [
        subprocess.Popen([*RUN, "build", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = []
    for process in processes:
        said, error = process.communicate(timeout=600)
        assert process.returncode == 0, error.decode()
        answers.append(json.loads(said))
    assert all(Path(answer["library"]).is_file() for answer in answers)
    return folder


@pytest.fixture
def cache(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, set as the user's."""
    folder = tmp_path / "cache"
    shutil.copytree(built, folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "kayak" / "mojo"


def manifest_in(cache: Path) -> Path:
    (path,) = cache.glob("*.json")
    return path


def library_in(cache: Path) -> Path:
    return cache / str(json.loads(manifest_in(cache).read_text())["libraries"]["native"][0])


def rewrite(cache: Path, **changes: Any) -> None:
    path = manifest_in(cache)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_two_builds_at_once_leave_a_valid_library_and_no_debris(built: Path) -> None:
    folder = built / "kayak" / "mojo"
    assert load_kernels(manifest_in(folder), "native").path == library_in(folder)
    assert not list(folder.glob(".*"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_compiled_library_is_preferred(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = select_kernels()
    assert selection.kernels is not None
    assert (selection.kernels.level, selection.kernels.path) == ("native", library_in(cache))
    assert selection.reason == "compiled for this exact processor"
    verify_kernels(selection.kernels)
    monkeypatch.setenv("KAYAK_MOJO_NO_CACHE", "1")
    assert select_kernels().reason == f"prebuilt for {BEST}"
    monkeypatch.setenv("KAYAK_MOJO_NO_CACHE", "0")
    assert select_kernels().reason == "compiled for this exact processor"
    monkeypatch.setenv("KAYAK_MOJO_LEVEL", BEST)
    assert select_kernels().reason == f"prebuilt for {BEST}"
    monkeypatch.setenv("KAYAK_MOJO_LEVEL", "native")
    assert select_kernels().reason == "compiled for this exact processor"


def test_what_is_not_valid_is_passed_over_and_said(cache: Path, compiler: tuple[str, ...]) -> None:
    library = library_in(cache)
    good = library.read_bytes()
    library.write_bytes(good[:-1])
    selection = select_kernels()
    assert selection.reason == f"prebuilt for {BEST}"
    assert f"passed over: {library} is damaged or foreign" in selection.notes[0]
    assert "`kayak mojo build --force` compiles it again" in selection.notes[0]
    mended = build_for_this_processor()  # damaged, so it is compiled again without being forced
    assert mended.built
    assert select_kernels().reason == "compiled for this exact processor"


def test_a_library_of_other_kernels_or_another_processor_is_passed_over(cache: Path) -> None:
    good = manifest_in(cache).read_text()
    for changes in ({"source_sha256": "0" * 64}, {"cpu": "x86_64-other"}, {"abi_version": 4}):
        rewrite(cache, **changes)
        selection = select_kernels()
        assert selection.reason == f"prebuilt for {BEST}"
        assert "passed over: " in selection.notes[0]
        manifest_in(cache).write_text(good)
    manifest_in(cache).rename(cache / "x86_64-elsewhere.json")
    assert select_kernels().notes == ()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
def test_a_library_that_others_may_write_is_passed_over(cache: Path) -> None:
    cache.chmod(0o777)
    selection = select_kernels()
    assert selection.reason == f"prebuilt for {BEST}"
    assert f"{cache} belongs to another user, or others may write it" in selection.notes[0]


def test_a_cache_folder_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "kayak").mkdir()
    (tmp_path / "kayak" / "mojo").write_text("a file")
    selection = select_kernels()
    assert selection.reason == f"prebuilt for {BEST}"
    assert "compiled libraries are not looked for" in selection.notes[0]


def test_a_build_that_is_there_is_not_repeated(cache: Path, compiler: tuple[str, ...]) -> None:
    done = build_for_this_processor()
    assert (done.library, done.built) == (library_in(cache), False)
    assert done.compiler == compiler_version(compiler)
    assert manifest_in(cache) == manifest_path(source_hash(kernels_folder()), done.compiler)


def test_the_commands(cache: Path) -> None:
    again = run("build")
    assert again.stdout.startswith("Already compiled by Mojo ")
    assert run("build", "--force").stdout.startswith("Compiled and verified in ")
    assert load_kernels(manifest_in(cache), "native").level == "native"
    shown = run("info").stdout
    assert "mojo_exact_cpu: available" in shown
    assert f"{cache}/" in shown
    facts = json.loads(run("info", "--json", KAYAK_MOJO_NO_CACHE="1").stdout)
    assert facts["reason"] == f"kernels of kayak-mojo, prebuilt for {BEST}"
    assert facts["compiler"].startswith("Mojo ")
    assert facts["cache"] == str(cache)


def test_no_compiler_is_an_error_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAYAK_MOJO_CLI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(kayak.MissingDependencyError, match=r"pip install 'kayak-mojo\[compiler\]'"):
        build_for_this_processor()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "failed with exit code 3"),
        ('[ "$1" = --version ] && echo Mojo 9 && exit 0; echo bad kernel >&2; exit 1', "bad kernel"),
    ],
)
def test_a_failing_compiler_is_quoted(script: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "mojo"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("KAYAK_MOJO_CLI", str(command))
    with pytest.raises(KernelBuildError, match=says):
        build_for_this_processor()
    assert not any(libraries_folder().glob("*"))


def test_a_command_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAYAK_MOJO_CLI", "/nowhere/mojo")
    done = run("build")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nowhere/mojo cannot be run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_linker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "bin" / "mojo"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nexit 0\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("MODULAR_MOJO_MAX_LLD_PATH", raising=False)
    with pytest.raises(CompilerError, match="set MODULAR_MOJO_MAX_LLD_PATH"):
        compile_kernels((str(command),), kernels_folder(), BEST, tmp_path / "x.so")
    lld = tmp_path / "path" / "lld"
    lld.parent.mkdir()
    lld.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    lld.chmod(0o755)
    for variable, value in (("MODULAR_MOJO_MAX_LLD_PATH", str(lld)), ("PATH", str(lld.parent))):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            for level, emulation in (("x86-64-v3", "elf_x86_64"), ("aarch64", "aarch64linux")):
                compile_kernels((str(command),), kernels_folder(), level, tmp_path / "x.so")
                assert (tmp_path / "called").read_text().startswith(f"-flavor gnu -m {emulation} -shared ")
        (tmp_path / "called").unlink()


def test_on_macos_its_own_linker_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "mojo"
    command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    command.chmod(0o755)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert library_name("aarch64") == "libkayak_mojo-aarch64.dylib"
    compile_kernels((str(command),), kernels_folder(), "aarch64", tmp_path / "x.dylib")
    assert f"--emit shared-lib -o {tmp_path}/x.dylib" in (tmp_path / "called").read_text()


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, compiler: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where a folder should be: permissions do not stop the superuser, whom containers run tests as.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(kayak.StorePathError, match=r"cannot be written: .*; set XDG_CACHE_HOME"):
        build_for_this_processor()


def test_a_full_disk_is_named(cache: Path, compiler: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path: path.read_bytes() for path in cache.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(kayak.StorePathError, match="No space left on device"):
        local_build._publish(manifest_in(cache), read_manifest(manifest_in(cache)), cache)
    assert before == {path: path.read_bytes() for path in cache.iterdir()}


def test_kernels_that_compute_something_else_are_not_published(
    tmp_path: Path, compiler: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(kernels_folder(), tmp_path / "kernels"))
    text = (copy / KERNELS).read_text()
    right, wrong = "hi, dim, maxima", "hi, (dim + 1) // 2, maxima"  # half of each vector
    assert right in text
    (copy / KERNELS).write_text(text.replace(right, wrong))
    monkeypatch.setattr(local_build, "kernels_folder", lambda: copy)
    with pytest.raises(KernelBuildError, match=r"failed its trial with exit code 1: .* gives wrong scores"):
        build_for_this_processor()
    assert not any(libraries_folder().iterdir())


def test_a_trial_that_cannot_run_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(KernelBuildError, match="could not be tried"):
        local_build._verify(manifest_in(cache))


def test_sources_that_are_gone_are_named(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match=r"source .* is missing; install kayak-mojo again"):
        source_hash(tmp_path)
    with pytest.raises(CompilerError, match="unknown level 'x86-64-v9'"):
        compile_kernels(("mojo",), tmp_path, "x86-64-v9", tmp_path / "x.so")


def test_a_manifest_without_the_level_is_refused(cache: Path) -> None:
    with pytest.raises(ManifestError, match="holds no library for x86-64-v3; it holds native"):
        load_kernels(manifest_in(cache), "x86-64-v3")
