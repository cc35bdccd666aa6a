"""Imports go one way only: proved on the sources and on fresh interpreters."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FREE = {"types", "ignore", "errors", "sampling", "whole_file", "run_files"}  # what everyone may use
ALLOWED = {
    "layers": set(),
    "losses": {"config"},
    "metrics": set(),
    "postprocess": set(),
    "boundary_maps": set(),
    "boundary_metrics": {"boundary_maps", "metrics"},
    "boundary_suite": {"boundary_metrics", "distributed", "metrics"},
    "uncertainty": {"metrics"},
    "per_image": {"npz_file"},
    "probability_metrics": set(),
    "em_metrics": set(),
    "warping_error": set(),
    "sampling": set(),
    "optim": {"config"},
    "backbones": {"layers"},
    "models": {"backbones", "layers"},
    "data": set(),
    "weights": set(),
    "config": set(),
    "config_check": {"config", "config_kinds"},
    "config_kinds": set(),
    "protocols": {"config"},
    "row_bands": {"layers"},
    "windows": set(),
    "own_border": {"config"},
    "views": {"config", "layers", "own_border", "row_bands", "windows"},
    "state": set(),
    "agreement": set(),
    "distributed": {"peer_links", "peers"},
    "peers": {"peer_links"},
    "peer_links": set(),
    "draw": {"data"},
    "stored": {"config"},
}
# A command stands beside what it is about and may know experiments, as what it calls may not.
COMMANDS = {"weights/convert.py": {"command_line", "config", "config_check", "initial"}}


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
    inside = path.relative_to(ROOT / "jaxseg")
    part = inside.with_suffix("").parts[0]
    used = {name.split(".")[1] for name in imports_of(path) if name.startswith("jaxseg.")}
    outward = {name.split(".")[0] for name in imports_of(path)} & {"experiments", "launch", "tests"}
    assert not outward, f"jaxseg must not import {outward}"
    if part in ALLOWED:
        assert used <= ALLOWED[part] | FREE | {part} | COMMANDS.get(str(inside), set())
    if part != "main":
        assert "main" not in used
    assert "tensorflow" not in {name.split(".")[0] for name in imports_of(path)}
    if part == "data":
        assert not {"flax", "optax"} & {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import jaxseg.models.deeplab_v3_plus, jaxseg.backbones.resnet",
            "'tensorflow_datasets' in sys.modules or 'tensorflow' in sys.modules",
        ),
        ("import jaxseg.data.prepare", "'jax' in sys.modules"),  # a third of its start
        (
            "import jaxseg.data.loader, jaxseg.data.prepare, jaxseg.data.doctor, jax",
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
