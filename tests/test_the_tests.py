"""What holds for every test: it asserts something, and what it draws at random has a seed."""

import ast
import pathlib

import hypothesis

from tests.conftest import ROOT

FILES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "tests").rglob("*.py"))}
REFUSING = {"raises", "warns", "fail"}  # of pytest
# Draw from a state of the process, or from the operating system.
PROCESS_WIDE = {"random", "np.random", "numpy.random", "secrets", "os.urandom", "uuid"}
GENERATORS = {"default_rng", "Random", "RandomState", "SeedSequence", "PCG64", "SystemRandom"}
UNSTEADY = {"time", "hash", "id", "getpid", "monotonic", "perf_counter", "urandom"}  # no seed


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def name_of(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def asserts(function, helpers=frozenset()):
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = name_of(node)
            if name in REFUSING | helpers or name.startswith("assert_"):
                return True
    return False


def asserting_helpers(trees):
    """The functions of the tests that assert, by themselves or through another one."""
    candidates = [f for tree in trees for f in functions(tree) if not f.name.startswith("test_")]
    found = set()
    while more := {f.name for f in candidates if f.name not in found and asserts(f, found)}:
        found |= more
    return found


def unseeded(tree):
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name, said = name_of(call), ast.unparse(call.func)
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if name in GENERATORS:
            inner = (n for value in given for n in ast.walk(value) if isinstance(n, ast.Call))
            if not given or any(name_of(other) in UNSTEADY for other in inner):
                yield call
        elif said in PROCESS_WIDE or said.rpartition(".")[0] in PROCESS_WIDE:
            yield call


def test_every_test_asserts_something():
    helpers = asserting_helpers(FILES.values())
    silent = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path, tree in FILES.items()
        for function in functions(tree)
        if function.name.startswith("test_") and not asserts(function, helpers)
    ]
    assert silent == []


def test_nothing_is_drawn_without_a_seed():
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
        for path, tree in FILES.items()
        for call in unseeded(tree)
    ]
    assert found == []
    assert hypothesis.settings().derandomize


def test_both_rules_find_what_breaks_them():
    broken = ast.parse(
        "def test_runs(): train()\n"
        "def test_checks(): checked()\n"
        "def checked(): assert_equal(1, 1)\n"
        "def test_refuses():\n    with pytest.raises(ValueError): train()\n"
        "rng = np.random.default_rng()\nrandom.Random()\nrandom.shuffle(x)\nnp.random.normal(2)\n"
        "np.random.default_rng(hash('a'))\nnp.random.default_rng(seed=3).normal(2)\n"
        "random.Random(time.time())\nos.urandom(3)\nuuid.uuid4()\njax.random.normal(key)\n"
    )
    helpers = asserting_helpers([broken])
    tests = [function for function in functions(broken) if function.name.startswith("test_")]
    assert [test.name for test in tests if not asserts(test, helpers)] == ["test_runs"]
    assert sorted(call.lineno for call in unseeded(broken)) == [6, 7, 8, 9, 10, 12, 13, 14]


def test_no_file_of_tests_is_left_out():
    assert pathlib.Path(__file__).resolve() in FILES
    assert len(FILES) > 150
