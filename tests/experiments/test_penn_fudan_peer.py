"""The recipe whose runs are compared with torchvision's."""

import json
import re
import statistics

import jax
import pytest

from experiments.mask_rcnn import penn_fudan_small
from jaxseg.shape_trace import trace_shapes
from tests.conftest import ROOT


def test_the_network_has_the_parameters_of_its_twin_in_torchvision():
    experiment = penn_fudan_small.get_config()
    _, variables = trace_shapes(experiment.model, experiment.data.crop_size)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 12_385_691


@pytest.mark.parametrize("side", ["torchvision", "jaxseg"])
def test_the_page_has_the_recorded_numbers(side):
    record = json.loads((ROOT / "experiments" / "results" / "penn_fudan_peer.json").read_text())
    page = (ROOT / "docs" / "results.md").read_text()
    (line,) = re.findall(rf"^\| {side} \| (.*) \|$", page, re.MULTILINE)
    runs, means = record["runs"][side].values(), record["means"][side]
    assert len(runs) == 3
    steps, seconds = (
        f"{statistics.mean(run[name] for run in runs):.0f}" for name in ("steps", "cpu_seconds")
    )
    shown = []
    for name in ("box AP", "mask AP"):
        kind, measure = name.split()
        each = ", ".join(f"{100 * run[kind][measure]:.1f}" for run in runs)
        shown += [f"{100 * means[name]:.1f} ({each})", f"{100 * means[f'{kind} AP50']:.1f}"]
    assert line.split(" | ") == [steps, seconds, *shown]
