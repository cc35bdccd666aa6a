"""Imports go one way only: proved on the sources and on fresh interpreters."""

import ast
import graphlib
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# What every room may use: one file each, of the standard library, NumPy, jax or tqdm.
FREE = {
    *("errors", "ignore", "percent", "pixels", "progress", "renamed", "sampling", "shape_trace"),
    *("state", "types"),
    "whole_file",
}
# Room -> the rooms that it may import. A room is a folder; in `data` and `weights`, which hold
# rooms, a file beside them is one too. The longest name that a path begins with is its room.
ROOMS = {
    "layers/accumulator": set(),
    "layers/window": set(),
    "layers/fast": {"layers/accumulator", "layers/window"},
    "layers": {"layers/accumulator", "layers/fast", "layers/window"},
    "backbones": {"layers", "layers/fast"},
    "models": {"backbones", "layers", "layers/fast"},
    "inspection": {"layers", "layers/fast"},
    "losses": {"layers"},
    "metrics": set(),
    "postprocess": set(),
    "settings": set(),
    "config": {"data/augment", "settings"},
    "checks": {"data/augment", "layers", "layers/fast", "postprocess", "settings"},
    "runtime": set(),
    "data/labels": set(),
    "data/instances": {"data/labels"},
    "data/padding": set(),
    "data/readers": {"data/instances", "data/labels"},
    "data/records": {"data/labels", "data/readers"},
    "data/augment": {"data/instances", "data/padding", "settings"},
    "data/pairing": {"data/instances", "data/labels", "data/readers", "data/records"},
    "data/builders": {
        *("data/instances", "data/labels", "data/pairing", "data/readers", "data/records"),
    },
    "data/features_file": set(),
    "data/fingerprint": {"data/labels"},
    "data/stuff": {"data/builders", "data/instances", "data/labels", "data/records"},
    "data/source": {
        *("data/builders", "data/features_file", "data/fingerprint", "data/instances"),
        *("data/labels", "data/records", "data/stuff"),
    },
    "data/frames": {"data/source"},
    "data/instance_facts": {"data/instances", "data/source"},
    "data/class_sampling": {"data/labels", "data/pairing", "data/source"},
    "data/loader": {
        *("data/augment", "data/class_sampling", "data/frames", "data/padding"),
        "data/source",
    },
    "data/instance_loader": {
        *("data/augment", "data/frames", "data/instance_facts", "data/loader", "data/source"),
    },
    "data/prepare": {
        *("data/builders", "data/fingerprint", "data/labels", "data/pairing"),
        *("data/readers", "data/records", "data/source", "data/stuff"),
    },
    "data/doctor": {
        *("data/augment", "data/builders", "data/instances", "data/labels", "data/pairing"),
        "data/prepare",
        *("data/readers", "data/records", "data/source"),
    },
    "weights/match": set(),
    "weights/origins": set(),
    "weights/counts": {"weights/match"},
    "weights/place": {"weights/match"},
    "weights/thin": {"weights/match"},
    "weights/readers": set(),
    "weights/tables": {"weights/match"},
    "weights/load": {"weights/match", "weights/readers", "weights/tables"},
    "weights/adapt": {
        f"weights/{name}" for name in ("counts", "match", "origins", "place", "thin")
    },
    "workdir": {"data", "runtime", "weights"},
    "inference": {
        *("checks", "data", "layers", "layers/fast", "losses", "postprocess", "runtime"),
        "settings",
    },
    "evaluation": {"data", "inference", "metrics", "postprocess", "runtime", "workdir"},
    "reporting": {"metrics", "workdir"},
    "cli": {"checks", "data", "runtime"},
    "tasks": {
        *("checks", "data", "evaluation", "inference", "inspection", "losses", "metrics"),
        *("reporting", "runtime", "workdir"),
    },
    "training": {
        *("checks", "data", "evaluation", "inference", "inspection", "losses", "metrics"),
        *("runtime", "settings", "tasks", "weights", "workdir"),
    },
}
# A pure room does not know the experiment's config, which every other may use.
PURE = {"backbones", "data", "layers", "metrics", "models", "postprocess", "runtime", "settings"}
PURE |= {"config", "weights"}
# What a reader or a program imports, and what `python -m` starts, wherever it stands.
FRONT = {"__init__", "__main__", "detector", "given", "opened", "segmenter"}
MODES = {"convert", "evaluate", "main", "predict", "report", "submission", "summary", "train"}
OUTSIDE = {"experiments", "launch", "tests", "tensorflow"}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module):
    """The room of "jaxseg.data.readers.pixels.read_image", or a file's name where it is in none."""
    parts = module.split(".")[1:]
    for end in range(len(parts), 0, -1):
        if (name := "/".join(parts[:end])) in ROOMS:
            return name
    return parts[0] if parts else "__init__"


def within(room, allowed):
    """Whether a room, or the one that holds it, is among the allowed ones."""
    return room in allowed or room.partition("/")[0] in allowed


SOURCES = sorted((ROOT / "jaxseg").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_the_house_allows(path):
    names = set(imports_of(path))
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    room = "__main__" if path.stem == "__main__" else room
    used = {room_of(name) for name in names if name.startswith("jaxseg.")} - {room}
    packages = {name.partition(".")[0] for name in names}
    assert not packages & OUTSIDE
    first = room.partition("/")[0]
    if room in ROOMS:
        free = FREE if first in PURE else FREE | {"config"}
        assert not {name for name in used if not within(name, ROOMS[room] | free)}
    else:
        known = MODES | FREE | FRONT | {name.partition("/")[0] for name in ROOMS}
        assert room in known, "a file of its own; should it be in a room?"
    if room in FREE:
        assert used <= FREE
    assert "main" not in used
    if first == "data":
        assert not {"flax", "optax", "jax"} & packages


def test_no_rooms_import_each_other_in_a_circle():
    graph = {
        room: {other for other in ROOMS if other != room and within(other, allowed)}
        for room, allowed in ROOMS.items()
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(ROOMS)


def test_experiments_do_not_import_what_launches_them():
    for path in (ROOT / "experiments").rglob("*.py"):
        assert "launch" not in {name.partition(".")[0] for name in imports_of(path)}, path


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
