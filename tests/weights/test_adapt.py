"""What fits is taken, what does not is reinitialised with a reason, anything else is refused."""

import dataclasses

import numpy as np
import pytest

from jaxseg.pixels import Normalisation
from jaxseg.weights import adapt, counts, match
from jaxseg.weights.match import Entry, Table
from jaxseg.weights.place import Wishes

PIXELS = Normalisation((100.0, 110.0, 120.0), (50.0, 50.0, 50.0))


def _variables(classes=5, channels=3, head=4, seed=0):
    """A backbone of two convolutions and a norm, fc6 and fc7 under a head, a K x K kernel."""
    rng = np.random.default_rng(seed)

    def leaf(*shape):
        return rng.normal(size=shape).astype(np.float32)

    window = 7 if head == 8 else 3
    return {
        "params": {
            "backbone": {
                "conv1": {"kernel": leaf(3, 3, channels, 2)},
                "conv2": {"kernel": leaf(3, 3, 2, 6), "bias": leaf(6)},
                "norm": {"scale": leaf(6)},
            },
            "head": {
                "fc6": {"kernel": leaf(window, window, 6, head), "bias": leaf(head)},
                "fc7": {"kernel": leaf(1, 1, head, head), "bias": leaf(head)},
            },
            "classifier": {"kernel": leaf(1, 1, head, classes), "bias": leaf(classes)},
            "up": {"kernel": leaf(4, 4, classes, classes)},
        },
        "batch_stats": {"backbone": {"norm": {"mean": leaf(6)}}},
    }


def _model(classes=5, channels=3, head=4):
    return adapt.Model(
        _variables(classes, channels, head, seed=1),
        lambda classes, channels: _variables(classes, channels, head),
        classes,
        channels,
    )


def _file(variables, prefix=""):
    """(name -> tensor, table) of all leaves under a prefix, the prefix left out on both sides."""
    leaves = {}
    for path, leaf in match.leaves_of(variables):
        collection, _, name = path.partition("/")
        if name.startswith(prefix):
            leaves[f"{collection}/{name.removeprefix(prefix)}"] = leaf
    entries = tuple(Entry(path, path) for path in leaves)
    return leaves, Table(entries, normalisation=PIXELS, pixel_kernels=("params/*conv1/kernel",))


def _fill(source, table, model, pixels=PIXELS, **wishes):
    variables, origins = adapt.take_from_file(
        source, table, model, Wishes(**wishes), file="FILE", pixels=pixels
    )
    return dict(match.leaves_of(variables)), origins


def _leaves(tree):
    return dict(match.leaves_of(tree))


def test_a_file_of_the_whole_model_is_taken_whole():
    whole = _variables()
    leaves, origins = _fill(*_file(whole), _model())
    for path, expected in _leaves(whole).items():
        np.testing.assert_array_equal(leaves[path], expected, err_msg=path)
    assert not origins.fresh
    assert not origins.left
    assert set(origins.taken) == set(leaves)


@pytest.mark.parametrize("prefix", ["", "backbone/"])
def test_an_extractor_fills_the_backbone_wherever_it_stands(prefix):
    """The rest is bit for bit the model's own start."""
    source, table = _file(_variables(), "backbone/")
    table = Table(
        tuple(
            Entry(
                e.source,
                e.target.replace("params/", f"params/{prefix}").replace(
                    "stats/", f"stats/{prefix}"
                ),
            )
            for e in table.entries
        )
    )
    model = _model()
    leaves, origins = _fill(source, table, model)
    start = _leaves(model.start)
    for path, value in leaves.items():
        inside = "/backbone/" in path
        expected = source[path.replace("backbone/", "")] if inside else start[path]
        np.testing.assert_array_equal(value, expected, err_msg=path)
        assert (path in origins.taken) == inside
    assert set(origins.fresh.values()) == {"the file holds only an extractor"}
    text = "\n".join(origins.summary())
    assert "head" in text
    assert "backbone" in text


def test_an_incomplete_extractor_is_refused():
    source, table = _file(_variables(), "backbone/")
    del source["params/norm/scale"]
    entries = tuple(e for e in table.entries if "scale" not in e.target)
    with pytest.raises(ValueError, match="nothing fills: params/backbone/norm/scale"):
        _fill(source, Table(entries), _model())


@pytest.mark.parametrize("classes", [1, 7, 150])
def test_another_number_of_classes_reinitialises_what_follows_it(classes):
    """The classifier, and the kernel of K x K classes as well; nothing else."""
    model = _model()
    leaves, origins = _fill(*_file(_variables(classes)), model)
    start, whole = _leaves(model.start), _leaves(_variables(classes))
    fresh = {"params/classifier/kernel", "params/classifier/bias", "params/up/kernel"}
    assert set(origins.fresh) == fresh
    assert set(origins.fresh.values()) == {f"{classes} classes in the file, 5 in the model"}
    for path, value in leaves.items():
        np.testing.assert_array_equal(value, (start if path in fresh else whole)[path])


def test_classes_do_not_excuse_another_shape():
    whole = _variables(7)
    whole["params"]["classifier"]["bias"] = np.zeros(9, np.float32)  # no number explains both
    with pytest.raises(ValueError, match="params/classifier/bias"):
        _fill(*_file(whole), _model())
    whole = _variables(7)
    whole["params"]["backbone"]["conv2"]["bias"] = np.zeros(9, np.float32)
    with pytest.raises(ValueError, match="conv2/bias") as error:
        _fill(*_file(whole), _model())
    assert "classifier" not in str(error.value)
    assert "--leave=" in str(error.value)


def test_parts_are_reinitialised_on_request_also_those_that_one_side_lacks():
    whole = _variables()
    whole["params"]["aux"] = {"kernel": np.zeros(3, np.float32)}
    del whole["params"]["head"]["fc7"]
    source, table = _file(whole)
    with pytest.raises(ValueError, match="aux/kernel"):
        _fill(source, table, _model())
    model = _model()
    leaves, origins = _fill(source, table, model, leave=("aux", "head/fc*", "back*/conv1"))
    fresh = {path for path in leaves if "/fc" in path or "conv1" in path}
    assert set(origins.fresh) == fresh
    assert set(origins.left) == {path for path in source if path in fresh or "aux" in path}
    for path in fresh:
        np.testing.assert_array_equal(leaves[path], _leaves(model.start)[path])
    with pytest.raises(ValueError, match="--leave=heads: neither"):
        _fill(source, table, _model(), leave=("heads",))


def test_one_part_alone_can_be_taken():
    whole = _variables(classes=9)
    leaves, origins = _fill(*_file(whole), _model(), only="backbone")
    assert {path for path in leaves if "/backbone/" in path} == set(origins.taken)
    np.testing.assert_array_equal(
        leaves["params/backbone/conv2/bias"], whole["params"]["backbone"]["conv2"]["bias"]
    )
    with pytest.raises(ValueError, match="--only=encoder"):
        _fill(*_file(whole), _model(), only="encoder")


def test_another_number_of_channels_is_adapted_on_request_only():
    whole = _variables()
    with pytest.raises(
        ValueError, match="images of 3 channels, but the model of 1: --input_channels=1"
    ):
        _fill(*_file(whole), _model(channels=1))
    kernel = whole["params"]["backbone"]["conv1"]["kernel"]
    path = "params/backbone/conv1/kernel"
    one, origins = _fill(*_file(whole), _model(channels=1), input_channels=1)
    np.testing.assert_allclose(one[path], kernel.sum(2, keepdims=True), rtol=1e-6)
    assert "3 -> 1 input channels" in "\n".join(origins.summary())
    many, _ = _fill(*_file(whole), _model(channels=7), input_channels=7)
    np.testing.assert_allclose(many[path], kernel[:, :, [0, 1, 2, 0, 1, 2, 0]] * 3 / 7, rtol=1e-6)
    grey = _variables(channels=1)
    rgb, _ = _fill(*_file(grey), _model(), input_channels=3)
    np.testing.assert_allclose(
        rgb[path], np.repeat(grey["params"]["backbone"]["conv1"]["kernel"], 3, 2) / 3, rtol=1e-6
    )
    for leaf in ("params/backbone/conv2/kernel", "params/head/fc6/kernel"):
        np.testing.assert_array_equal(one[leaf], many[leaf])


@pytest.mark.parametrize("channels", [1, 3, 6, 9])
def test_equal_channels_give_what_they_gave(channels):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    patch = rng.normal(size=(3, 3, 1)).astype(np.float32)
    adapted = counts.with_channels(kernel, 2, channels)
    assert adapted.shape == (3, 3, channels, 4)
    before = np.einsum("hwc,hwco->o", np.repeat(patch, 3, 2), kernel)
    after = np.einsum("hwc,hwco->o", np.repeat(patch, channels, 2), adapted)
    np.testing.assert_allclose(after, before, rtol=1e-4)


def test_another_mean_is_taken_on_request_and_the_deviation_still_folded_in():
    whole = _variables()
    source, table = _file(whole)
    other = Normalisation((0.0, 0.0, 0.0), tuple(2 * s for s in PIXELS.std))
    with pytest.raises(ValueError, match=r"another mean.*--any_mean"):
        _fill(source, table, _model(), other)
    leaves, origins = _fill(source, table, _model(), other, any_mean=True)
    path = next(path for path in leaves if path.endswith("conv1/kernel"))
    np.testing.assert_allclose(leaves[path], 2 * _leaves(whole)[path], rtol=1e-6)
    assert "data.normalisation.mean differs, as requested" in "\n".join(origins.notes)


def test_pixels_are_checked_and_their_deviation_is_folded_in():
    whole = _variables()
    source, table = _file(whole)
    kernel = whole["params"]["backbone"]["conv1"]["kernel"]
    scaled, origins = _fill(
        source, table, _model(), dataclasses.replace(PIXELS, std=(25.0, 50.0, 100.0))
    )
    np.testing.assert_allclose(
        scaled["params/backbone/conv1/kernel"], kernel * [[0.5], [1], [2]], rtol=1e-6
    )
    assert "a different data.normalisation.std is folded" in "\n".join(origins.summary())
    with pytest.raises(ValueError, match=r"--config\.data\.normalisation\.mean=100,110,120"):
        _fill(source, table, _model(), dataclasses.replace(PIXELS, mean=(0.0, 0.0, 0.0)))


def _classifier():
    """A table of a VGG by itself whose fc6 and fc7 a model may lack."""
    whole = _variables(head=8)
    source, _ = _file(whole, "backbone/")
    for layer in ("fc6", "fc7"):
        for leaf, value in whole["params"]["head"][layer].items():
            source[f"params/{layer}/{leaf}"] = value
    entries = tuple(Entry(name, name) for name in source)
    return source, Table(entries, optional=("params/fc6/*", "params/fc7/*")), whole


def test_fc6_and_fc7_go_where_the_model_has_them():
    source, table, whole = _classifier()
    leaves, origins = _fill(source, table, _model(head=8))
    np.testing.assert_array_equal(
        leaves["params/head/fc6/kernel"], whole["params"]["head"]["fc6"]["kernel"]
    )
    fresh = {"params/classifier/kernel", "params/classifier/bias", "params/up/kernel"}
    assert set(origins.fresh) == fresh


def test_each_of_several_places_gets_a_copy():
    """The branches of DeepLab v2's ASPP on VGG start from the same fc6 and fc7."""
    source, table, whole = _classifier()
    model = _model(head=8)
    model.start["params"]["second"] = model.start["params"]["head"]
    leaves, origins = _fill(source, table, model)
    for branch in ("head", "second"):
        for layer in ("fc6", "fc7"):
            np.testing.assert_array_equal(
                leaves[f"params/{branch}/{layer}/kernel"],
                whole["params"]["head"][layer]["kernel"],
            )
    assert origins.taken["params/second/fc7/bias"] == "params/fc7/bias, copy 2"
    assert not origins.left


def test_a_model_without_norms_keeps_its_empty_collection():
    whole, model = _variables(), _model()
    for tree in (whole, model.start):
        tree["batch_stats"] = {}
    variables, _ = adapt.take_from_file(*_file(whole), model, Wishes(), file="FILE")
    assert variables["batch_stats"] == {}
    variables, _ = adapt.take_shared(whole, model, file="RUN")
    assert variables["batch_stats"] == {}


def test_a_model_without_them_does_without():
    source, table, _ = _classifier()
    start, full = _variables(), _model()
    for tree in (start, full.start):
        del tree["params"]["head"]
    model = adapt.Model(full.start, lambda *_: start, 0)
    _, origins = _fill(source, table, model)
    assert {name.split("/")[1] for name in origins.left} == {"fc6", "fc7"}


def test_fc6_and_fc7_are_thinned_on_request():
    """3 x 3 of 7 x 7 taps; fc7 takes as inputs what fc6 keeps as outputs."""
    source, table, whole = _classifier()
    with pytest.raises(ValueError, match="--thin takes a part of fc6 and fc7"):
        _fill(source, table, _model(head=4))
    leaves, _ = _fill(source, table, _model(head=4), thin=True)
    fc6, fc7 = (whole["params"]["head"][layer] for layer in ("fc6", "fc7"))
    outputs6 = [list(fc6["bias"]).index(b) for b in leaves["params/head/fc6/bias"]]
    outputs7 = [list(fc7["bias"]).index(b) for b in leaves["params/head/fc7/bias"]]
    assert outputs6 != outputs7
    np.testing.assert_array_equal(
        leaves["params/head/fc6/kernel"], fc6["kernel"][::3, ::3][..., outputs6]
    )
    np.testing.assert_array_equal(
        leaves["params/head/fc7/kernel"], fc7["kernel"][:, :, outputs6][..., outputs7]
    )


def _shared(found, model):
    variables, origins = adapt.take_shared(found, model, file="RUN")
    return _leaves(variables), origins


def test_a_related_model_gives_what_both_have():
    """FCN-32s to 16s: a new score layer is reinitialised, the old deconvolution has gone."""
    other = _variables(seed=3)
    other["params"]["old_up"] = other["params"].pop("up")
    model = _model()
    leaves, origins = _shared(other, model)
    assert origins.fresh == {"params/up/kernel": "not in it"}
    assert origins.left == ["params/old_up/kernel"]
    for path, value in leaves.items():
        source = model.start if path in origins.fresh else other
        np.testing.assert_array_equal(value, _leaves(source)[path])


def test_a_related_model_of_other_classes():
    leaves, origins = _shared(_variables(8), _model())
    assert {path.split("/")[1] for path in origins.fresh} == {"classifier", "up"}
    assert set(origins.fresh.values()) == {"8 classes in it, 5 in the model"}
    assert leaves["params/classifier/bias"].shape == (5,)


def test_a_related_model_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"RUN has 5 leaves with a different shape"):
        _shared(_variables(head=8), _model())
    with pytest.raises(ValueError, match=r"conv1/kernel: \[3, 3, 1, 2\], here \[3, 3, 3, 2\]"):
        _shared(_variables(channels=1), _model())
    with pytest.raises(ValueError, match="shares no leaf"):
        _shared({"params": {"other": np.zeros(3)}}, _model())


def test_the_report_lists_every_leaf_and_tensor():
    whole = _variables(7)
    whole["params"]["aux"] = {"kernel": np.zeros(3, np.float32)}
    _, origins = _fill(*_file(whole), _model(), leave=("aux",))
    lines = list(origins.listing())
    assert len(lines) == len(_leaves(_variables())) + len(origins.left)
    assert "params/backbone/conv2/bias <- params/backbone/conv2/bias" in lines
    assert "params/up/kernel is reinitialised: 7 classes in the file, 5 in the model" in lines
    assert "params/aux/kernel is left out" in lines
    assert sum(origins.sizes.values()) == sum(leaf.size for leaf in _leaves(_variables()).values())


def test_many_parts_of_one_kind_share_a_line():
    model = _model()
    for n in range(30):
        model.start["params"][f"decoder{n}"] = {"kernel": np.zeros((2, 2), np.float32)}
    _, origins = _fill(*_file(_variables(), "backbone/"), model)
    (line,) = (line for line in origins.summary() if "decoder" in line)
    assert "37 leaves" in line  # with the head, the classifier and the K x K kernel
    assert "33 parts" in line


def test_many_tensors_that_end_alike_are_counted():
    source, table = _file(_variables())
    slots = {f"{name}/Momentum": value for name, value in source.items()}
    table = Table(table.entries, ignored=("*/Momentum",))
    _, origins = _fill(source | slots, table, _model())
    assert f"  left out, {len(slots)}: *Momentum ({len(slots)})" in origins.summary()
