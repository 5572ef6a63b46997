"""Commands of other distributions: found by their entry points, imported when they are run, and isolated."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import kayak
import pytest

GREETING = """
import typer
import kayak

app = typer.Typer(help="Greets people.")

@app.command()
def hello(name: str) -> None:
    print(f"hello {name}")

@app.command()
def refuse() -> None:
    raise kayak.InvalidInputError("not today")
"""


class Site:
    """A folder of distributions that add commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, source: str, *, command: str = "greet", attribute: str = "app") -> None:
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[kayak.commands]\n{command} = {module}:{attribute}\n")

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        source = str(Path(kayak.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.folder), source]), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-c", "from kayak.cli import main; main()", *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_command_is_listed_and_runs(site: Site) -> None:
    site.install("kayak-greeting", GREETING)
    done = site.run("greet", "hello", "Ada")
    assert (done.returncode, done.stdout) == (0, "hello Ada\n")
    assert "Greets people." in site.run("--help").stdout


def test_its_errors_leave_as_those_of_the_core_do(site: Site) -> None:
    site.install("kayak-greeting", GREETING)
    done = site.run("greet", "refuse")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: not today\n")
    assert site.run("greet", "hello").returncode == 2


def test_nothing_is_imported_for_other_commands(site: Site) -> None:
    site.install("kayak-greeting", "print('imported')")
    done = site.run("help", "TokenMatrixInput")
    assert done.returncode == 0
    assert "imported" not in done.stdout
    assert site.run("no-such-command").returncode == 2


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("app = 7", "kayak_greeting:app is a int, not a typer.Typer"),
        ("import typer\napp = typer.Typer()", "RuntimeError"),
    ],
)
def test_a_broken_command_says_so_and_takes_nothing_down(source: str, reason: str, site: Site) -> None:
    site.install("kayak-greeting", source)
    listed = site.run("--help")
    assert listed.returncode == 0, listed.stderr
    assert "broken" in listed.stdout
    done = site.run("greet", "hello", "--loud")
    assert done.returncode == 1
    assert f"error: the command 'greet' of kayak-greeting is broken: {reason}" in done.stderr
    assert "Traceback" not in done.stderr
    assert site.run("doctor").returncode == 0


def test_a_command_that_two_claim_is_nobodys(site: Site) -> None:
    site.install("kayak-greeting", GREETING)
    site.install("kayak-welcome", GREETING)
    done = site.run("greet", "hello", "Ada")
    assert done.returncode == 1
    assert "'greet' of kayak-greeting and kayak-welcome is broken: several distributions claim it" in done.stderr


def test_the_core_keeps_its_own_commands(site: Site) -> None:
    site.install("kayak-greeting", GREETING, command="doctor")
    done = site.run("doctor")
    assert done.stdout.startswith(("Versions", "Warnings"))
    assert "hello" not in done.stdout
    listed = site.run("--help")
    assert sum(line.startswith("│ doctor") for line in listed.stdout.splitlines()) == 1
    assert "warning: kayak-greeting adds the command 'doctor', but Kayak has one of its own" in listed.stderr


@pytest.mark.parametrize("variables", [{"KAYAK_DISABLED_PLUGINS": "greet"}, {"KAYAK_PLUGINS": "other"}])
def test_disabled_plugins_add_no_command(variables: dict[str, str], site: Site) -> None:
    site.install("kayak-greeting", GREETING)
    assert site.run("greet", "hello", "Ada", **variables).returncode == 2
    assert "Greets people." not in site.run("--help", **variables).stdout
