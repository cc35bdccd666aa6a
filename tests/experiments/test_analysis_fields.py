"""Receptive fields of the analysis against published values, closed forms and gradients."""

import flax.linen as nn
import numpy as np
import pytest

from experiments.analysis import chains, energy, growth, pictures
from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.vgg import VGG
from jaxseg.inspection import summary
from jaxseg.models.dilation import CONTEXT_8, Dilation, front_end_backbone
from jaxseg.models.fcn import FCN
from jaxseg.models.pspnet import PSPNet


class Stack(nn.Module):
    """A stack of 3x3 convolutions with one channel."""

    rates: tuple[int, ...]

    @nn.compact
    def __call__(self, images, *, train):
        x = images[..., :1]
        for rate in self.rates:
            x = nn.Conv(1, (3, 3), padding=rate, kernel_dilation=rate, use_bias=False)(x)
        return {"logits": x}


def ones(model, size=(9, 9)):
    shapes = model.init({"params": np.zeros(2, np.uint32)}, np.zeros((1, *size, 3)), train=False)
    return {"params": {k: {"kernel": np.ones((3, 3, 1, 1))} for k in shapes["params"]}}


NOISE = np.random.default_rng(0).standard_normal((3, 41, 41, 3)).astype(np.float32)


@pytest.mark.parametrize("rates", [(1, 1), (2, 2, 2), (1, 2, 3), (2, 4, 8)])
def test_energy_of_a_linear_stack_is_the_square_of_the_ways(rates):
    """So gradients prove what `chains` says about holes, and the field that is traced."""
    model = Stack(rates)
    found = energy.gradient_energy(model, ones(model), NOISE)
    chain = chains.chain("", rates)
    expected = np.outer(chain.ways(), chain.ways()) ** 2
    edge = (41 - chain.size) // 2
    expected = np.pad(expected / expected.sum(), edge)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)
    output = growth.output_layer(model, (41, 41))
    assert (output.field, output.whole) == (chain.size, False)


class Shifts(nn.Module):
    """Nine classes that read a different pixel each."""

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(9, (3, 3), use_bias=False, name="shift")(images[..., :1])
        return {"logits": x}


def test_signs_add_up_the_classes():
    """All of them weigh the same, whatever the signs."""
    kernel = np.eye(9, dtype=np.float32).reshape(3, 3, 1, 9)
    found = energy.gradient_energy(
        Shifts(), {"params": {"shift": {"kernel": kernel}}}, NOISE[:2, :5, :7]
    )
    expected = np.zeros((5, 7))
    expected[1:4, 2:5] = 1 / 9
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_radii_of_known_maps():
    ring = np.zeros((11, 11))
    ring[5, 5], ring[5, 8], ring[1, 5] = 0.5, 0.4, 0.1
    found = energy.extent(ring, 9, whole=True)
    assert found.radii == {0.5: 0.0, 0.9: 3.0, 0.95: 4.0}
    assert found.ratios == {0.5: 1 / 9, 0.9: 7 / 9, 0.95: 1.0}
    assert not found.cut
    assert energy.extent(ring, 13).cut
    record = energy.to_json(energy.extent(ring, None))
    assert record["ratio_to_theoretical"]["95%"] == pytest.approx(9 / 11)  # of the image
    assert record["cut_by_image"]


def test_only_kernels_of_zeros_become_random_and_without_no_gradient_comes():
    """Score layers of FCN start at zero."""
    model = Stack((1, 1))
    params = ones(model)["params"]
    params["Conv_1"] = {"kernel": np.zeros((3, 3, 1, 1)), "bias": np.zeros(1)}
    with pytest.raises(ValueError, match="zero or not finite for each of 1 image:"):
        energy.gradient_energy(model, {"params": params}, NOISE[:1])
    changed, replaced = energy.with_random_zeros(params)
    assert replaced == ["Conv_1/kernel"]
    assert changed["Conv_0"]["kernel"].all()
    assert not changed["Conv_1"]["bias"].any()
    assert 0.1 < changed["Conv_1"]["kernel"].std() < 1  # 1 / 3 is expected
    found = energy.gradient_energy(model, {"params": changed}, NOISE[:1])
    assert found.sum() == pytest.approx(1)


def test_the_middle_of_larger_and_smaller_images():
    image = np.arange(5 * 4, dtype=np.float32).reshape(5, 4, 1)
    np.testing.assert_array_equal(energy.centred(image, (3, 2)), image[1:4, 1:3])
    larger = energy.centred(image, (7, 4))
    np.testing.assert_array_equal(larger[1:6], image)
    assert not larger[[0, 6]].any()


@pytest.mark.parametrize(
    ("model", "layer", "field"),
    [
        # Facts, FCN 1: 404 and 355 pixels; Long et al., Table 1.
        (FCN(3, VGG(width=1, image_padding=100), head_features=2), "head/fc6", 404),
        (
            FCN(3, AlexNet(width=2, image_padding=100), 32, head_features=2, fc6_kernel=6),
            "head/fc6",
            355,
        ),
        # Dilation, Table 1: 67 x 67 positions of stride 8 after a front end of 380 pixels.
        (
            Dilation(3, front_end_backbone().clone(width=1), CONTEXT_8, head_features=2),
            "context/final",
            380 + 66 * 8,
        ),
    ],
)
def test_published_fields(model, layer, field):
    rows = growth.rows(summary.summarize(model, (97, 97)).layers)
    assert [row["field"] for row in rows if row["layer"] == layer] == [field]


def test_the_published_field_of_a_resnet():
    """Araujo et al., Table 1: 483 pixels."""
    net = ResNet(depth=50, width=4, output_stride=16, stride_at="last_3x3")
    rows = growth.rows(summary.summarize(net, (65, 65)).layers)
    found = growth.facts(rows, (65, 65))
    assert found["largest_field"] == 483
    assert found["first_global"] is None
    assert "stage3" in found["first_larger_than_image"]


def test_the_output_is_told_from_an_auxiliary_one():
    model = PSPNet(3, ResNet(depth=18, width=4, output_stride=8))
    size = (65, 65)
    layers = summary.summarize(model, size).layers
    output = growth.output_layer(model, size)
    assert not layers[-1].whole  # the auxiliary logits
    assert output.whole
    assert output.field > layers[-1].field


def test_pictures_are_drawn():
    model = Stack((1, 2))
    rows = growth.rows(summary.summarize(model, (41, 41)).layers)
    maps = {"before training": energy.gradient_energy(model, ones(model), NOISE[:1])}
    extents = {name: energy.extent(found, 7) for name, found in maps.items()}
    for figure in (pictures.growth(rows, (41, 41)), pictures.effective(maps, extents)):
        figure.canvas.draw()
        assert figure.axes
