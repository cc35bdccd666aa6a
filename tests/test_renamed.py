"""Stored configs of earlier versions read as today's, every value in its place of today."""

import json
import logging

import pytest

from jaxseg import config, renamed
from tests.conftest import ROOT

# Every experiment as stored before norm and compute became parts of networks; of each class the
# commonest values stand once.
OLD = json.loads((ROOT / "tests" / "old_configs.json").read_text())


def expanded(values):
    """A stored part in full."""
    if not isinstance(values, dict):
        return values
    own = {name: expanded(value) for name, value in values.items()}
    return {"class": values["class"]} | OLD["common"][values["class"]] | own


def parts(values):
    """A stored part, and all that it holds."""
    yield values
    for value in values.values():
        if isinstance(value, dict):
            yield from parts(value)


def without_added(values):
    """A stored part without the fields of tasks that older versions did not have."""
    if not isinstance(values, dict):
        return values
    added = renamed.ADDED.get(values["class"], ())
    return {name: without_added(value) for name, value in values.items() if name not in added}


def at(node, path):
    for name in path.split("."):
        node = getattr(node, name)
    return node


def assert_same(node, values):
    """Every value of an old part is in its new one, where the table has it."""
    moves = renamed.moves(f"{type(node).__module__}:{type(node).__qualname__}")
    for name, value in values.items():
        if name == "class":
            continue
        found = at(node, moves.get(name, name))
        if isinstance(value, dict):
            assert_same(found, value)
        else:
            assert config.to_dict(found) == value, name


@pytest.mark.parametrize("name", OLD["experiments"])
def test_every_old_config_reads_without_a_warning(name, caplog):
    values = expanded(OLD["experiments"][name])
    with caplog.at_level(logging.WARNING):
        experiment = config.from_dict(values)
    assert caplog.text == ""
    assert_same(experiment, values)
    current = renamed.current(values)
    assert without_added(config.to_dict(experiment)) == current
    assert renamed.current(current) == current


def test_every_network_class_is_among_them():
    """So that a field which moves is not forgotten in the table."""
    classes = {p["class"] for e in OLD["experiments"].values() for p in parts(e)}
    assert set(OLD["common"]) == classes
    assert len([c for c in classes if c.startswith("jaxseg.models.")]) == 17


def test_where_fields_of_a_network_went():
    old = {
        "class": "jaxseg.backbones.xception:Xception",
        "depth": 65,
        "norm": "frozen",
        "norm_epsilon": 1e-3,
        "norm_decay": 0.97,
        "norm_groups": 8,
        "dtype": "bfloat16",
        "form": "plain",
    }
    new = renamed.current(old)
    assert new.pop("norm") == {
        "class": "jaxseg.layers.norm:Norm",
        "kind": "frozen",
        "epsilon": 1e-3,
        "decay": 0.97,
        "groups": 8,
        "bias_init": 0.0,
    }
    compute = new.pop("compute")
    assert (compute["dtype"], compute["form"], compute["depthwise"]) == ("bfloat16", "plain", "")
    assert new == {"class": "jaxseg.backbones.xception:Xception", "depth": 65}


def test_what_an_older_config_lacks_of_a_part_is_its_owner_s_default(caplog):
    """Xception's groups are 8 and its epsilon 1e-3, not the 32 and 1e-5 of `Norm`."""
    backbone = config.from_dict(
        {"class": "jaxseg.backbones.xception:Xception", "norm": "batch", "norm_decay": 0.97}
    )
    norm = backbone.norm
    assert (norm.kind, norm.epsilon, norm.decay, norm.groups) == ("batch", 1e-3, 0.97, 8)
    assert "lacks Norm.groups" in caplog.text


def test_a_class_that_was_renamed(monkeypatch):
    monkeypatch.setitem(renamed.CLASSES, "jaxseg.models.old:Old", "jaxseg.models.unet:UNet")
    old = {"class": "jaxseg.models.old:Old", "num_classes": 2, "norm": "batch"}
    model = config.from_dict(old)
    assert (type(model).__name__, model.num_classes, model.norm.kind) == ("UNet", 2, "batch")
