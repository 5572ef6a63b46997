"""Plugins that are broken, hostile or in conflict: none takes the others down, and each is named.

Every case runs in a fresh interpreter with real distributions (a module and a dist-info folder) on the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import kayak
import numpy as np
import pytest

SOURCE = str(Path(kayak.__file__).parents[1])
GOOD = """
    import kayak

    @kayak.hookimpl
    def kayak_stores():
        yield kayak.StoreSpec(name="{name}", factory=kayak.MemoryLateStore, summary="good")
"""


class World:
    """A folder of installed distributions, and an interpreter that sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, code: str, *, entry: str = "", target: str = "", name: bool = True) -> None:
        """Install a distribution whose entry point `entry` names a module holding `code`."""
        module = f"{distribution.replace('-', '_')}_module"
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        if name:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[kayak]\n{entry or distribution} = {target or module}\n")

    def run(self, code: str, **environment: str) -> dict[str, object]:
        """Run code that fills `out`, in a fresh interpreter in which warnings are errors; return `out`."""
        script = (
            "import json, sys\nimport kayak\n\n\n"
            "def error(call, *args, **kwargs):\n"
            "    try:\n        call(*args, **kwargs)\n"
            "    except kayak.KayakError as e:\n        return [type(e).__name__, str(e)]\n"
            "    return ['no error', '']\n\n\n"
            "def plugins():\n    return {f'{p.name}/{p.distribution}': [p.status, p.error, list(p.provides), p.version]"
            " for p in kayak.list_plugins()}\n\n\n"
            "out = {}\n" + dedent(code) + "\nprint(json.dumps(out))\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, str(self.folder)]), **environment},
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, object] = json.loads(done.stdout)
        return result


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


BREAKAGES = {
    "failing-import": ("import no_such_client", "ModuleNotFoundError: No module named 'no_such_client'"),
    "raising-import": ("raise RuntimeError('no licence\\nsecond line')", "RuntimeError: no licence second line"),
    "exiting-import": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "silent": ("raise RuntimeError", "RuntimeError"),
    "wordy": ("raise RuntimeError('word ' * 1000)", "word word"),
    "syntax-error": ("def broken(:", "SyntaxError"),
    "unprintable": (
        """
        class Odd(Exception):
            def __str__(self):
                raise ValueError("cannot print")
        raise Odd
        """,
        "Odd: its message cannot be shown",
    ),
    "misspelt-hook": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stoers():
            return []
        """,
        "kayak_stoers",
    ),
    "wrong-arguments": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores(registry):
            return []
        """,
        "registry",
    ),
    "raising-hook": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            raise OSError("no disk")
        """,
        "kayak_stores: OSError: no disk",
    ),
    "exiting-hook": (
        """
        import kayak, sys
        @kayak.hookimpl
        def kayak_stores():
            sys.exit(3)
        """,
        "kayak_stores: SystemExit: 3",
    ),
    "half-consumed": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="first", factory=kayak.MemoryLateStore)
            raise KeyError("second")
        """,
        "kayak_stores: KeyError: 'second'",
    ),
    "no-spec": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            yield kayak.MemoryLateStore
        """,
        "must yield StoreSpec objects",
    ),
    "other-spec": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            yield kayak.EncoderSpec(name="x", factory=object)
        """,
        "must yield StoreSpec objects",
    ),
    "bare-spec": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            return kayak.StoreSpec(name="x", factory=kayak.MemoryLateStore)
        """,
        "must yield StoreSpec objects, got StoreSpec",
    ),
    "returns-nothing": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            pass
        """,
        "must yield StoreSpec objects, got NoneType",
    ),
    "bad-name": (
        """
        import kayak
        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="Not A Name", factory=kayak.MemoryLateStore)
        """,
        "is no kind name",
    ),
    "wrapper": (
        """
        import kayak
        @kayak.hookimpl(wrapper=True)
        def kayak_stores():
            result = yield
            return []
        """,
        "must yield StoreSpec objects",
    ),
}


def test_broken_plugins_are_shown_and_take_nobody_down(world):
    """All ways to break at once: every one is named with its error, and everything else works."""
    for name, (code, _) in BREAKAGES.items():
        world.install(name, code)
    world.install("a-good-one", GOOD.format(name="good"))
    world.install("z-good-one", GOOD.format(name="better"))
    world.install("missing-module", "", target="no_such_module.plugin")
    world.install("missing-attribute", "", target="json:no_such_thing")
    out = world.run("""
        out["plugins"] = plugins()
        out["stores"] = kayak.available_store_kinds()
        out["encoders"] = kayak.available_encoder_kinds()
        out["generators"] = kayak.available_candidate_generator_kinds()
        out["operators"] = kayak.available_stage_operator_kinds()
        out["backends"] = kayak.available_backends()
        with kayak.open_text_retriever(encoder="hashing", store="good") as retriever:
            retriever.upsert_texts(["a"], ["a wing"])
            out["hits"] = [hit.doc_id for hit in retriever.search_text("wing", k=1)]
        out["half"] = error(kayak.open_store, "first")
        out["again"] = plugins() == out["plugins"]
    """)
    found = out["plugins"]
    assert isinstance(found, dict)
    for name, (_, expected) in BREAKAGES.items():
        status, message, *_ = found[f"{name}/{name}"]
        assert status == "broken", name
        assert expected in message
        assert "\n" not in message
        assert len(message) < 400
    assert "no_such_module" in found["missing-module/missing-module"][1]
    assert "no_such_thing" in found["missing-attribute/missing-attribute"][1]
    assert found["a-good-one/a-good-one"] == ["ok", "", ["store: good"], "1.5"]
    assert found["z-good-one/z-good-one"] == ["ok", "", ["store: better"], "1.5"]
    assert next(iter(found)) == "core/kayak-core"
    assert found["core/kayak-core"][0] == "ok"
    assert found["core/kayak-core"][3] == kayak.__version__
    assert {"memory", "kayak", "good", "better"} <= set(out["stores"])
    assert {"callable", "hashing"} <= set(out["encoders"])
    assert {"exact_full_scan", "document_proxy", "store_native"} <= set(out["generators"])
    assert {"noop_topk", "exact_late_interaction", "none", "clause_text"} <= set(out["operators"])
    assert "numpy_reference" in out["backends"]
    assert out["hits"] == ["a"]
    assert out["half"][0] == "PluginError"
    assert "'half-consumed'" in out["half"][1]
    assert "KeyError" in out["half"][1]
    assert out["again"]


def test_unknown_kind_says_what_exists_what_is_broken_and_what_to_install(world):
    world.install("failing", "import no_such_client")
    world.install("blocked", GOOD.format(name="hidden"))
    out = world.run(
        """
        out["first_party"] = error(kayak.open_store, "pgvector")
        out["near"] = error(kayak.open_store, "memmory")
        out["unknown"] = error(kayak.open_store, "nothing-like-it")
        out["encoder"] = error(kayak.open_encoder, "colbert")
        out["backend"] = error(kayak.maxsim, kayak.query([[1.0]]), kayak.documents(["a"], [[[1.0]]]).pack(),
                               backend="mojo_exact_cpu")
        out["number"] = error(kayak.open_store, 7)
        """,
        KAYAK_DISABLED_PLUGINS="blocked, other",
    )
    for name in ("unknown", "near"):
        assert out[name][0] == "UnknownKindError"
        for part in ("memory", "kayak", "directory", "'failing'", "no_such_client", "'blocked'", "is disabled"):
            assert part in out[name][1], part
    installed = {plugin.distribution for plugin in kayak.list_plugins()}
    if "kayak-pgvector" not in installed:
        assert "pip install kayak-pgvector" in out["first_party"][1]
    if "kayak-colbert" not in installed:
        assert "pip install kayak-colbert" in out["encoder"][1]
    if "kayak-mojo" not in installed:
        assert "pip install kayak-mojo" in out["backend"][1]
    assert "did you mean 'memory'?" in out["near"][1]
    assert out["number"][0] == "InvalidTypeError"


def test_duplicate_kinds_name_both_distributions(world):
    world.install("one-dist", GOOD.format(name="twice"))
    world.install("two-dist", GOOD.format(name="twice"))
    world.install("greedy", GOOD.format(name="memory"))
    world.install("aliasing", GOOD.format(name="mine").replace("summary", "aliases=('directory',), summary"))
    out = world.run("""
        for kind in ("twice", "memory", "directory"):
            out[kind] = error(kayak.open_store, kind)
        out["mine"] = type(kayak.open_store("mine")).__name__
        out["fine"] = error(kayak.open_store, "kayak", wrong=1)
        out["taken"] = error(kayak.register_store, "memory", kayak.MemoryLateStore)
        kayak.register_store("memory", kayak.MemoryLateStore, replace=True)
        out["replaced"] = type(kayak.open_store("memory")).__name__
        out["doctor"] = str(kayak.doctor())
    """)
    assert out["twice"][0] == "DuplicateKindError"
    assert "'one-dist'" in out["twice"][1]
    assert "'two-dist'" in out["twice"][1]
    assert out["memory"][0] == "DuplicateKindError"
    assert "'kayak-core'" in out["memory"][1]
    assert "'greedy'" in out["memory"][1]
    assert out["directory"][0] == "DuplicateKindError"
    assert "'aliasing'" in out["directory"][1]
    assert out["fine"][0] == "InvalidTypeError"
    assert out["mine"] == out["replaced"] == "MemoryLateStore"
    assert out["taken"][0] == "DuplicateKindError"
    assert "'one-dist'" in out["doctor"], "the doctor does not mention the conflict"


def test_a_broken_plugin_cannot_take_a_name_away(world):
    """A plugin that claims `memory` and then fails leaves the core's `memory` alone."""
    world.install("failing", GOOD.format(name="memory") + "        raise RuntimeError('late')\n")
    out = world.run("""
        out["memory"] = type(kayak.open_store("memory")).__module__
        out["plugins"] = plugins()
    """)
    assert out["memory"] == "kayak.builtin.memory_store"
    assert out["plugins"]["failing/failing"][0] == "broken"


def test_duplicate_entry_point_names_load_neither(world):
    """Two distributions with one plugin name: neither is imported, both are named."""
    for number in ("1", "2"):
        world.install(f"dist-{number}", f"import sys; sys.loaded_{number} = True", entry="same")
    world.install("impostor", "import sys; sys.loaded_impostor = True", entry="core")
    out = world.run("""
        out["plugins"] = plugins()
        out["loaded"] = [name for name in vars(sys) if name.startswith("loaded_")]
    """)
    for number in ("1", "2"):
        status, message, *_ = out["plugins"][f"same/dist-{number}"]
        assert status == "broken"
        assert "dist-1 and dist-2" in message
    assert out["plugins"]["core/impostor"][0] == "broken"
    assert "kayak-core" in out["plugins"]["core/impostor"][1]
    assert out["plugins"]["core/kayak-core"][0] == "ok"
    assert out["loaded"] == []


@pytest.mark.parametrize(
    ("environment", "loaded"),
    [
        ({"KAYAK_PLUGINS": "one"}, ["one"]),
        ({"KAYAK_PLUGINS": ""}, []),
        ({"KAYAK_PLUGINS": " one , two "}, ["one", "two"]),
        ({"KAYAK_DISABLED_PLUGINS": "one"}, ["two"]),
        ({"KAYAK_PLUGINS": "one,two", "KAYAK_DISABLED_PLUGINS": "two"}, ["one"]),
    ],
)
def test_lists_act_before_import(world, environment, loaded):
    """What the lists leave out is never imported, and is shown as disabled with the reason."""
    for name in ("one", "two"):
        world.install(name, GOOD.format(name=name))
    out = world.run(
        """
        out["plugins"] = plugins()
        out["imported"] = [name for name in ("one", "two") if f"{name}_module" in sys.modules]
        out["kinds"] = kayak.available_store_kinds()
        """,
        **environment,
    )
    assert out["imported"] == loaded
    assert {"one", "two"} & set(out["kinds"]) == set(loaded)
    assert "memory" in out["kinds"]
    for name in {"one", "two"} - set(loaded):
        assert out["plugins"][f"{name}/{name}"][0] == "disabled"
        assert "KAYAK_" in out["plugins"][f"{name}/{name}"][1]


def test_listing_kinds_imports_no_client(world):
    """Listing imports the plugins' light modules only; opening imports the client, or says how to get it."""
    (world.folder / "heavy_client.py").write_text("import sys; sys.heavy = True\n")
    code = """
        import kayak

        def open_heavy(client="{client}"):
            __import__(client)
            return kayak.MemoryLateStore()

        @kayak.hookimpl
        def kayak_stores():
            yield kayak.StoreSpec(name="{name}", factory=open_heavy, requirements=({requirements}))
    """
    world.install("heavy", code.format(client="heavy_client", name="heavy", requirements="'heavy-client>=1',"))
    world.install("absent", code.format(client="no_client", name="absent", requirements="'no-client>=2',"))
    world.install("terse", code.format(client="no_client", name="terse", requirements=""))
    nameless = code.format(client="", name="nameless", requirements="")
    world.install("nameless", nameless.replace("__import__(client)", "raise ImportError('not today')"))
    out = world.run("""
        kayak.list_plugins()
        out["kinds"] = kayak.available_store_kinds()
        for listing in (kayak.available_encoder_kinds, kayak.available_candidate_generator_kinds,
                        kayak.available_stage_operator_kinds, kayak.available_backends):
            listing()
        out["before"] = hasattr(sys, "heavy")
        out["third_party"] = sorted({"torch", "sentence_transformers", "lancedb", "qdrant_client", "weaviate",
                                     "chromadb", "psycopg", "typer", "rich", "tqdm", "pytest", "hypothesis",
                                     "matplotlib"} & set(sys.modules))
        kayak.open_store("heavy")
        out["after"] = hasattr(sys, "heavy")
        for kind in ("absent", "terse", "nameless"):
            out[kind] = error(kayak.open_store, kind)
        out["wrong"] = error(kayak.open_store, "heavy", folder="x")
    """)
    assert not out["before"]
    assert out["after"]
    assert out["third_party"] == []
    assert {"heavy", "absent"} <= set(out["kinds"])
    for kind in ("absent", "terse", "nameless"):
        assert out[kind][0] == "MissingDependencyError"
    assert "pip install 'no-client>=2'" in out["absent"][1]
    assert "pip install no_client" in out["terse"][1]
    assert "not today" in out["nameless"][1]
    assert "pip install" not in out["nameless"][1]
    assert out["wrong"][0] == "InvalidTypeError"
    assert "client" in out["wrong"][1]


def test_broken_executors_take_nobody_down(world):
    """An executor that raises when made or asked is never preferred; asking for it by name shows why."""
    template = """
        import kayak
        class Broken:
            name = "{name}"
            def __init__(self):
                {init}
            def backend_info(self):
                {info}
            def maxsim(self, *args):
                raise RuntimeError
        @kayak.hookimpl
        def kayak_executors():
            yield kayak.ExecutorSpec(name="{name}", factory=Broken, preference=100)
            {after}
    """
    raises = "raise RuntimeError('no device')"
    world.install("ex-one", template.format(name="one", init=raises, info="pass", after="pass"))
    world.install("ex-two", template.format(name="two", init="pass", info=raises, after="pass"))
    world.install("ex-three", template.format(name="three", init="pass", info="pass", after=raises))
    absent = "return kayak.BackendInfo('four', available=False, availability_reason='needs a device')"
    world.install("ex-four", template.format(name="four", init="pass", info=absent, after="pass"))
    out = world.run("""
        out["backends"] = kayak.available_backends()
        with kayak.open_text_retriever(encoder="hashing", store="memory") as retriever:
            out["backend"] = retriever.backend
        index = kayak.documents(["a"], [[[1.0]]]).pack()
        out["three"] = error(kayak.maxsim, kayak.query([[1.0]]), index, backend="three")
        out["four"] = error(kayak.maxsim, kayak.query([[1.0]]), index, backend="four")
    """)
    assert not {"one", "two", "three", "four"} & set(out["backends"])
    assert out["backend"] in out["backends"]
    assert out["three"][0] == "PluginError"
    assert "no device" in out["three"][1]
    assert out["four"][0] == "BackendUnavailableError"
    assert "needs a device" in out["four"][1]


def test_damaged_and_repeated_installations(world):
    """A distribution without METADATA, and one found twice through the path, do no harm."""
    world.install("nameless", GOOD.format(name="nameless"), name=False)
    world.install("twin", GOOD.format(name="twin"))
    doubled = os.pathsep.join([SOURCE, str(world.folder), f"{world.folder}{os.sep}."])
    out = world.run(
        """
        out["plugins"] = plugins()
        out["opened"] = [type(kayak.open_store(kind)).__name__ for kind in ("nameless", "twin")]
        """,
        PYTHONPATH=doubled,
    )
    assert out["plugins"]["nameless/unknown distribution"][0] == "ok"
    assert out["plugins"]["twin/twin"][0] == "ok"
    assert out["opened"] == ["MemoryLateStore"] * 2


HOOK_EXAMPLES = {
    "kayak_encoders": "kayak.open_encoder('reverse').encode_query('ab').vector_count",
    "kayak_stores": "kayak.open_store('shelf').stats().document_count",
    "kayak_candidate_generators": "kayak.open_candidate_generator('longest').kind",
    "kayak_stage_operators": "kayak.open_stage_operator('short_texts').kind",
    "kayak_executors": "kayak.backend_info('slow').available",
}


def test_documented_examples_of_the_hooks_work(world):
    """The example in each hook's documentation is a working plugin."""
    from kayak.hookspecs import KayakSpecs

    for hook in HOOK_EXAMPLES:
        text = getattr(KayakSpecs, hook).__doc__
        world.install(hook.replace("_", "-"), dedent(text.split("```python\n")[1].split("```")[0]))
    lines = "\n".join(f"out[{hook!r}] = {code}" for hook, code in HOOK_EXAMPLES.items())
    out = world.run("out['plugins'] = plugins()\n" + lines)
    assert all(status == "ok" for status, *_ in out.pop("plugins").values())
    assert out == {
        "kayak_encoders": 2,
        "kayak_stores": 0,
        "kayak_candidate_generators": "longest",
        "kayak_stage_operators": "short_texts",
        "kayak_executors": True,
    }


def test_registering_by_code():
    """`register_*` needs no package, refuses what is taken or malformed, and replaces on request."""
    operator = type(kayak.none_stage3_verifier_operator())
    scoring = type(kayak.noop_topk_stage2_reference_operator())
    generator = type(kayak.exact_full_scan_candidate_generator())
    cases = (
        (kayak.register_store, kayak.available_store_kinds, kayak.open_store, kayak.MemoryLateStore),
        (
            kayak.register_candidate_generator,
            kayak.available_candidate_generator_kinds,
            kayak.open_candidate_generator,
            generator,
        ),
        (kayak.register_stage_operator, kayak.available_stage_operator_kinds, kayak.open_stage_operator, operator),
        (kayak.register_stage_operator, kayak.available_stage_operator_kinds, kayak.open_stage_operator, scoring),
    )
    encoder = kayak.CallableLateTextEncoder(len, len)
    kayak.register_encoder("by-code-encoder", lambda: encoder)
    assert kayak.open_encoder("by-code-encoder") is encoder
    for register, available, opener, factory in cases:
        kind = f"by-code-{factory.__name__.lower()}"
        register(kind, factory)
        assert kind in available()
        assert isinstance(opener(kind), factory)
        with pytest.raises(kayak.DuplicateKindError, match="registered by code"):
            register(kind, factory)
        register(kind, factory, replace=True)
        with pytest.raises(kayak.InvalidInputError, match="no kind name"):
            register("Not A Name", factory)
        with pytest.raises(kayak.InvalidTypeError, match="callable"):
            register("fine", 7)
    with pytest.raises(kayak.InvalidTypeError, match="sequence of strings"):
        kayak.StoreSpec(name="x", factory=object, aliases="y")


def test_an_executor_registered_by_code_scores():
    class Doubling:
        name = "doubling"

        def backend_info(self):
            return kayak.BackendInfo("doubling", available=True, availability_reason="always there")

        def maxsim(self, query_vectors, query_offsets, block, positions):
            return np.full((len(query_offsets) - 1, block.document_count), 2.0, dtype=np.float32)

    kayak.register_executor("doubling", Doubling)
    assert "doubling" in kayak.available_backends()
    assert kayak.open_text_retriever(encoder="hashing", store="memory").backend != "doubling"
    index = kayak.documents(["a", "b"], [[[1.0]], [[5.0]]]).pack()
    assert kayak.maxsim(kayak.query([[1.0]]), index, backend="doubling").values.tolist() == [2.0, 2.0]


def test_what_a_factory_raises_of_ours_passes_through():
    def refuse():
        raise kayak.StorePathError("no such place")

    kayak.register_store("refusing", refuse)
    with pytest.raises(kayak.StorePathError, match="no such place"):
        kayak.open_store("refusing")


def test_a_retriever_without_any_backend_says_so(world: World) -> None:
    world.install(
        "kayak-impostor",
        """
        import kayak

        @kayak.hookimpl
        def kayak_executors():
            yield kayak.ExecutorSpec(name="numpy_reference", factory=object)
        """,
    )
    out = world.run(
        """
        out["opening"] = error(kayak.open_text_retriever, encoder="hashing", store="memory")
        out["doctor"] = str(kayak.doctor())
        """,
        KAYAK_PLUGINS="kayak-impostor",
    )
    assert out["opening"] == [
        "BackendUnavailableError",
        "no backend can run here; kayak.doctor() says what is wrong with each",
    ]
    assert "kayak-impostor" in str(out["doctor"])
