"""Every check of every conformance suite can fail: for each there is an implementation that breaks just that promise.

The wrong implementations stand in `wrong_*.py`. One pytest process runs each of them against the tests that it must
fail; the tests below read its report.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import kayak
import pytest
from kayak import testing
from kayak.testing.suite import suite_tests

HERE = Path(__file__).parent
SUITES = [getattr(testing, name) for name in testing.__all__]


def load(name: str) -> list[type]:
    """Import one module of wrong implementations and return its test classes."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


MODULES = {
    name: load(name) for name in ("wrong_stores", "wrong_postings", "wrong_stages", "wrong_encoders", "wrong_executors")
}
CASES = [(name, cls.__name__, test) for name, wrong in MODULES.items() for cls in wrong for test in cls.breaks]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict[tuple[str, str, str], list[str]]:
    """What became of each test: "failed", "error", "skipped" or "passed", one entry a parameter."""
    folder = tmp_path_factory.mktemp("teeth")
    nodes = [f"{HERE / name}.py::{cls}::{test}" for name, cls, test in CASES]
    arguments = folder / "nodes.txt"
    arguments.write_text("\n".join(nodes))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", str(HERE), "--import-mode=importlib"),
            *("--junitxml", str(folder / "report.xml"), f"@{arguments}"),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(kayak.__file__).parents[1])},
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    outcomes: dict[tuple[str, str, str], list[str]] = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        *_, module, cls = case.get("classname", "").split(".")
        test = case.get("name", "").partition("[")[0]
        outcome = next((tag for tag in ("error", "failure", "skipped") if case.find(tag) is not None), "passed")
        outcomes.setdefault((module, cls, test), []).append(outcome)
    return outcomes


@pytest.mark.parametrize(("module", "cls", "test"), CASES, ids=[f"{cls}-{test}" for _, cls, test in CASES])
def test_the_suite_notices(report, module, cls, test):
    outcomes = report[module, cls, test]
    assert "failure" in outcomes, f"{cls} keeps {test}: {outcomes}"
    assert not {"error", "skipped"} & set(outcomes), outcomes


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_check_has_a_wrong_implementation(suite):
    """A check that nothing is known to fail proves nothing."""
    broken = {test for wrong in MODULES.values() for cls in wrong if issubclass(cls, suite) for test in cls.breaks}
    assert broken == suite_tests(suite)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_check_says_what_it_promises(suite):
    for name in suite_tests(suite):
        assert getattr(suite, name).__doc__.strip(), name


class Weak:
    """A mixin that takes a test over from outside."""

    def test_threads(self):
        pass


@pytest.mark.parametrize(
    ("bases", "body"),
    [
        ((), {"test_threads": lambda self: None}),
        ((), {"test_threads": None}),
        ((), {"test_threads": pytest.mark.skip(reason="flaky")(lambda self: None)}),
        ((), {"test_threads": pytest.mark.xfail(lambda self: None)}),
        ((), {"test_threads": pytest.mark.xfail(reason="")(lambda self: None)}),
        ((Weak,), {}),
    ],
    ids=["override", "none", "skip", "xfail-without-reason", "xfail-with-empty-reason", "mixin"],
)
def test_a_check_cannot_be_weakened_unseen(bases, body):
    with pytest.raises(kayak.InvalidInputError, match=r"test_threads replaces a conformance test.*xfail"):
        type("TestMine", (*bases, testing.EncoderConformance), body)


def test_a_known_gap_can_be_marked():
    """`xfail` with a reason is allowed, in the class or in a base of it; so are tests of one's own."""

    class TestMine(testing.EncoderConformance):
        @pytest.mark.xfail(reason="the model is not safe to share between threads")
        def test_threads(self, encoder):
            super().test_threads(encoder)

        def test_of_my_own(self, encoder):
            assert encoder

    class TestDerived(TestMine):
        examples = 5

    assert TestDerived.examples == 5


def test_without_pytest_or_hypothesis_the_error_says_what_to_install():
    for name in ("pytest", "hypothesis"):
        code = f"import sys; sys.modules[{name!r}] = None\nimport kayak.testing"
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(kayak.__file__).parents[1])},
            check=False,
        )
        assert "MissingDependencyError" in done.stderr
        assert "pip install 'kayak-core[testing]'" in done.stderr
        assert name in done.stderr


def test_failures_of_the_suites_are_explained(tmp_path):
    """With the package's pytest plugin, assertions inside `kayak.testing` show their values."""
    (tmp_path / "test_mine.py").write_text(
        "import pytest, kayak\nfrom kayak.testing import StoreConformance\n\n\n"
        "class Nobody(kayak.MemoryLateStore):\n    def __enter__(self):\n        return 'somebody else'\n\n\n"
        "class TestMine(StoreConformance):\n    @pytest.fixture\n    def store(self):\n        return Nobody()\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *([] if entry_points(group="pytest11", name="kayak") else ["-p", "kayak._pytest_plugin"]),
            *("-c", os.devnull, "--rootdir", str(tmp_path), "test_mine.py::TestMine::test_context_manager"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(kayak.__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 1
    assert "assert 'somebody else' is <" in done.stdout
