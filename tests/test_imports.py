"""Imports go one way only: proved on the sources and on fresh interpreters."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# What every room may use: one file each, of the standard library, NumPy or jax.
FREE = {"config", "errors", "ignore", "sampling", "state", "types", "whole_file"}
ROOMS = {  # room -> the rooms that it may import; what is not named here is no room
    "backbones": {"layers"},
    "cli": {"runtime"},
    "data": set(),
    "evaluation": {"data", "inference", "metrics", "runtime", "workdir"},
    "inference": {"data", "layers", "postprocess"},
    "inspection": {"layers"},
    "layers": set(),
    "losses": set(),
    "metrics": set(),
    "models": {"backbones", "layers"},
    "postprocess": set(),
    "reporting": {"evaluation", "metrics", "workdir"},
    "runtime": set(),
    "training": {
        *("cli", "data", "evaluate", "inference", "losses", "metrics", "runtime", "weights"),
        "workdir",
    },
    "weights": set(),
    "workdir": {"data", "runtime", "weights"},
}
# A pure room does not know the experiment's config either.
PURE = {"backbones", "data", "layers", "metrics", "models", "postprocess", "runtime", "weights"}
MODES = {"convert", "evaluate", "main", "predict", "report", "submission", "summary", "train"}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


SOURCES = sorted((ROOT / "jaxseg").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_the_house_allows(path):
    names = set(imports_of(path))
    room = path.relative_to(ROOT / "jaxseg").with_suffix("").parts[0]
    used = {name.split(".")[1] for name in names if name.startswith("jaxseg.")} - {room}
    packages = {name.split(".")[0] for name in names}
    assert not packages & {"experiments", "launch", "tests", "tensorflow"}
    if room in ROOMS:
        assert used <= ROOMS[room] | (FREE - {"config"} if room in PURE else FREE)
    else:
        assert room in MODES | FREE | {"__init__"}, "a file of its own; should it be in a room?"
    if room in FREE:
        assert used <= FREE
    if room != "main":
        assert "main" not in used
    if room == "data":
        assert not {"flax", "optax", "jax"} & packages


def test_no_rooms_import_each_other_in_a_circle():
    open_rooms = dict(ROOMS)
    while leaves := [room for room, used in open_rooms.items() if not used & set(open_rooms)]:
        for room in leaves:
            del open_rooms[room]
    assert not open_rooms


def test_experiments_do_not_import_what_launches_them():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert "launch" not in {name.split(".")[0] for name in imports_of(path)}, path


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import jaxseg.models.deeplab_v3_plus, jaxseg.backbones.resnet",
            "'tensorflow_datasets' in sys.modules or 'tensorflow' in sys.modules",
        ),
        ("import jaxseg.data.prepare.prepare", "'jax' in sys.modules"),  # a third of its start
        (
            "import jaxseg.data.loader, jaxseg.data.doctor.doctor, jax",
            "jax._src.xla_bridge._backends or 'tensorflow' in sys.modules or 'flax' in sys.modules",
        ),
        (
            "import jaxseg.train, jaxseg.evaluate, jaxseg.predict, jaxseg.report, jaxseg.summary",
            "'tensorflow' in sys.modules",
        ),
    ],
)
def test_importing_one_part_does_not_start_another(statement, absent):
    program = f"import sys; {statement}; sys.exit(1 if {absent} else 0)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
