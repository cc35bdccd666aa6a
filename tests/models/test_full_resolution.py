"""The full-resolution stack: cost and receptive field, compared with a network with strides."""

from jaxseg.backbones.vgg import VGG
from jaxseg.inspection import summary
from jaxseg.models.fcn import FCN
from jaxseg.models.full_resolution import FullResolution

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "FullResolution": [FullResolution(5, depth=3)],
}


def test_cost_and_receptive_field_compared_with_vgg():
    """Checks the numbers of the docstring, for 224 x 224 pixels."""
    deep = summary.summarize(FullResolution(21, width=64, depth=13), (224, 224))
    pixels = 224**2
    assert deep.multiply_adds == pixels * (27 * 64 + 12 * 9 * 64**2 + 64 * 21)
    assert deep.layers[-1].field == 27
    assert {layer.stride for layer in deep.layers} == {1}
    assert {layer.shape[:2] for layer in deep.layers} == {(224, 224)}

    fcn = summary.summarize(FCN(21, VGG(), fc6_padding=None), (224, 224))
    trunk = [layer for layer in fcn.layers if layer.path.startswith("backbone")]
    assert trunk[-1].field == 212
    costs = sum(layer.multiply_adds for layer in trunk)
    weights = sum(layer.parameters for layer in trunk)
    assert weights == 14_714_688
    assert round(deep.multiply_adds / costs, 1) == 1.5
    assert round(weights / deep.parameters) == 33


def test_a_stride_compensates_for_width():
    """Doubling the width quadruples the cost here; after a pooling it leaves it unchanged."""
    narrow, wide = (
        summary.summarize(FullResolution(5, width=width, depth=3), (64, 64)).layers[1]
        for width in (16, 32)
    )
    assert wide.multiply_adds == 4 * narrow.multiply_adds
    layers = summary.summarize(FCN(5, VGG(width=16), fc6_padding=None), (64, 64)).layers
    of = {layer.path: layer.multiply_adds for layer in layers}
    assert of["backbone/conv1_2"] == of["backbone/conv2_2"] == narrow.multiply_adds
