"""`kayak.doctor`: facts, and never an exception because of a broken plugin."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import kayak
import numpy as np
import pytest
from kayak.environment import packages


def install(
    site: Path, distribution: str, version: str, files: dict[str, str], *, metadata: str = "", entry: str = ""
) -> None:
    """Write an installed distribution by hand, as an installer leaves it."""
    for name, text in files.items():
        target = site / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{metadata}")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))
    if entry:
        (info / "entry_points.txt").write_text(f"[kayak]\n{entry}\n")


def doctor_with(site: Path, code: str = "print(kayak.doctor())", **variables: str) -> str:
    source = str(Path(kayak.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), source]), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import json, kayak\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_facts() -> None:
    report = kayak.doctor()
    assert report.versions["Python"].startswith(platform.python_version())
    assert report.versions["kayak-core"].startswith(kayak.__version__)
    assert report.versions["numpy"] == np.__version__
    assert report.versions["BLAS"] not in ("", "unknown")
    assert report.versions["pluggy"] == importlib.metadata.version("pluggy")
    assert report.cpu_count >= 1
    assert {(k.sort, k.name) for k in report.kinds} >= {
        ("encoder", "hashing"),
        ("store", "kayak"),
        ("candidate generator", "document_proxy"),
        ("stage operator", "clause_text"),
    }
    assert {info.name for info in report.backends} >= {"numpy_reference", "mojo_exact_cpu"}
    retriever = kayak.open_text_retriever(encoder="hashing", store="memory")
    assert report.default_backend == retriever.backend
    assert report.plugins == kayak.list_plugins()
    assert report.mojo == kayak.mojo_bridge_info()


def test_the_report_reads_and_serialises() -> None:
    report = kayak.doctor()
    text = str(report)
    assert text.splitlines()[0] in ("Versions", "Warnings")
    assert "  kayak (also directory): available, from kayak-core" in text
    assert f"open_text_retriever uses: {report.default_backend}" in text
    assert json.loads(json.dumps(report.to_dict()))["default_backend"] == report.default_backend


def test_variables_are_shown_but_not_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAYAK_MOJO_CLI", "/opt/mojo")
    monkeypatch.setenv("KAYAK_QDRANT_API_KEY", "hunter2")
    report = kayak.doctor()
    assert report.variables["KAYAK_MOJO_CLI"] == "/opt/mojo"
    assert report.variables["KAYAK_QDRANT_API_KEY"] == "(set, not shown)"
    assert "hunter2" not in str(report)


def test_it_is_quick() -> None:
    kayak.doctor()
    start = time.process_time()
    kayak.doctor()
    assert time.process_time() - start < 0.5


def test_a_healthy_plugin_and_its_missing_requirement(tmp_path: Path) -> None:
    module = """
        import kayak

        def factory():
            raise AssertionError("doctor opens nothing")

        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="shelf", factory=factory, requirements=("wood_planks>=2; python_version>'3'",))
    """
    install(tmp_path, "kayak-shelf", "1.2", {"kayak_shelf.py": module}, entry="shelf = kayak_shelf")
    assert "Needs wood_planks>=2; python_version>'3'." in doctor_with(tmp_path, "print(kayak.help('shelf'))")
    text = doctor_with(tmp_path)
    assert "shelf: not available, from kayak-shelf; `pip install" in text
    assert "  wood-planks: not installed (wood_planks>=2 for store 'shelf')" in text
    assert "  shelf (kayak-shelf 1.2): ok" in text
    install(tmp_path, "wood-planks", "2.5", {"wood.py": ""})
    text = doctor_with(tmp_path)
    assert "shelf: available, from kayak-shelf\n" in text
    assert "  wood-planks: 2.5 (wood_planks>=2 for store 'shelf')" in text


def test_broken_plugins_are_reported_not_raised(tmp_path: Path) -> None:
    install(tmp_path, "kayak-ruin", "1", {"kayak_ruin.py": "import nothing_of_that_name"}, entry="ruin = kayak_ruin")
    half = """
        import kayak

        @kayak.hookimpl
        def kayak_executors():
            yield kayak.ExecutorSpec(name="half", factory=lambda: 1 / 0)

        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="half-store", factory=dict)
            raise RuntimeError("the rest is gone")
    """
    install(tmp_path, "kayak-half", "1", {"kayak_half.py": half}, entry="half = kayak_half")
    text = doctor_with(tmp_path)
    assert "plugin 'ruin' of kayak-ruin is broken: ModuleNotFoundError: No module named 'nothing_of_that_name'" in text
    assert "KAYAK_DISABLED_PLUGINS=ruin" in text
    assert "half-store: not available, from kayak-half; its plugin 'half' is broken: kayak_stores: RuntimeError" in text
    assert "  half: not available; PluginError" in text
    text = doctor_with(tmp_path, KAYAK_DISABLED_PLUGINS="ruin,half")
    assert not text.startswith("Warnings")
    assert "ruin (kayak-ruin 1): disabled; listed in KAYAK_DISABLED_PLUGINS" in text


def test_executors_that_raise_are_reported(tmp_path: Path) -> None:
    module = """
        import kayak

        @kayak.hookimpl
        def kayak_executors():
            yield kayak.ExecutorSpec(name="zero", factory=lambda: 1 / 0, preference=9)
            yield kayak.ExecutorSpec(name="mojo_exact_cpu", factory=lambda: 1 / 0, preference=9)
    """
    install(tmp_path, "kayak-zero", "1", {"kayak_zero.py": module}, entry="zero = kayak_zero")
    text = doctor_with(tmp_path, KAYAK_PLUGINS="zero")
    assert "  zero: not available; ZeroDivisionError: division by zero" in text
    assert "open_text_retriever uses: numpy_reference" in text
    assert "mojo_exact_cpu: not available\n    ZeroDivisionError: division by zero" in text


def test_where_no_backend_can_run_the_report_says_so(tmp_path: Path) -> None:
    module = """
        import kayak

        @kayak.hookimpl
        def kayak_executors():
            yield kayak.ExecutorSpec(name="numpy_reference", factory=dict)
    """
    install(tmp_path, "kayak-rival", "1", {"kayak_rival.py": module}, entry="rival = kayak_rival")
    text = doctor_with(tmp_path, KAYAK_PLUGINS="rival")
    assert text.startswith("Warnings\n  backend kind 'numpy_reference' is provided by ")
    assert "  numpy_reference: not available; DuplicateKindError: " in text
    assert "open_text_retriever uses: none, as no backend can run" in text


def test_conflicting_kinds_are_warned_about(tmp_path: Path) -> None:
    module = """
        import kayak

        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="shelf", factory=dict)
    """
    for name in ("one", "two"):
        install(tmp_path, f"kayak-{name}", "1", {f"kayak_{name}.py": module}, entry=f"{name} = kayak_{name}")
    text = doctor_with(tmp_path)
    assert text.startswith("Warnings\n  store kind 'shelf' is provided by distribution 'kayak-one'")


@pytest.mark.parametrize("old_style", [False, True])
def test_another_owner_of_the_import_name_is_warned_about(tmp_path: Path, old_style: bool) -> None:
    install(tmp_path, "kayak", "0.3.0", {} if old_style else {"kayak/other.py": ""})
    if old_style:
        (tmp_path / "kayak-0.3.0.dist-info" / "top_level.txt").write_text("kayak\n")
    text = doctor_with(tmp_path)
    assert text.startswith(
        "Warnings\n  distribution 'kayak' installs files under the import name 'kayak' too, so one overwrites the "
        "other; run `pip uninstall kayak`, then `pip install --force-reinstall kayak-core`"
    )


def test_the_core_itself_is_no_other_owner(tmp_path: Path) -> None:
    extras = "Requires-Dist: numpy>=1.26\nRequires-Dist: absent-package>=1; extra == 'odd'\n"
    install(tmp_path, "kayak_core", "1.0.0", {"kayak/nothing.py": ""}, metadata=extras)
    text = doctor_with(tmp_path)
    assert not text.startswith("Warnings")
    assert "not installed as a distribution" not in text
    assert "  absent-package: not installed (absent-package>=1 for kayak-core[odd])" in text


def test_extras_need_an_installed_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "CORE_DISTRIBUTION", "kayak-core-that-is-not-installed")
    assert packages.requirements_of_extras() == []
    assert packages.core_location().endswith(", not installed as a distribution)")


def test_cpus_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert kayak.doctor().cpu_count == 1


def test_the_mojo_command_line_is_asked_only_on_request(tmp_path: Path) -> None:
    command = tmp_path / "mojo"
    command.write_text("#!/bin/sh\necho mojo 9.9\n")
    command.chmod(0o755)
    asked = doctor_with(tmp_path, "print(kayak.doctor(probe_mojo_load=True))", KAYAK_MOJO_CLI=str(command))
    assert "mojo 9.9" in asked
    assert "mojo 9.9" not in doctor_with(tmp_path, KAYAK_MOJO_CLI=str(command))


def test_how_the_mojo_command_line_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def executable(name: str, code: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {name}\nexit {code}\n")
        path.chmod(0o755)
        return path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(executable("environment/python")))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("KAYAK_MOJO_CLI", raising=False)
    assert kayak.mojo_bridge_info().cli is None
    assert "Mojo command line: none found" in str(kayak.mojo_bridge_info())
    pixi = executable("path/pixi")
    assert kayak.mojo_bridge_info().cli is None
    (tmp_path / "pixi.toml").touch()
    found = kayak.mojo_bridge_info(probe_load=True)
    assert (found.cli, found.cli_source, found.cli_version) == ((str(pixi), "run", "mojo"), "pixi", "path/pixi")
    on_path = executable("path/mojo")
    assert (kayak.mojo_bridge_info().cli, kayak.mojo_bridge_info().cli_source) == ((str(on_path),), "PATH")
    active = executable("environment/mojo")
    assert kayak.mojo_bridge_info().cli == (str(active),)
    broken = executable("broken mojo", code=3)
    monkeypatch.setenv("KAYAK_MOJO_CLI", str(broken))
    found = kayak.mojo_bridge_info(probe_load=True)
    assert (found.cli, found.cli_source, found.cli_version) == ((str(broken),), "KAYAK_MOJO_CLI", None)
    assert "running it failed: " in str(found)
    monkeypatch.setenv("KAYAK_MOJO_CLI", "bash 'a wrapper.sh' run")
    assert kayak.mojo_bridge_info().cli == ("bash", "a wrapper.sh", "run")


def test_names_that_no_plugin_has_are_warned_about(tmp_path: Path) -> None:
    text = doctor_with(tmp_path, KAYAK_DISABLED_PLUGINS="qdrnt", KAYAK_PLUGINS="core,lance")
    assert "KAYAK_DISABLED_PLUGINS names 'qdrnt', but no plugin has that name; installed: core" in text
    assert "KAYAK_PLUGINS names 'lance', but no plugin has that name" in text
    assert "names 'core'" not in text
