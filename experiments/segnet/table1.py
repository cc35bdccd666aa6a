"""SegNet (arXiv 1511.00561), Table 1: upsampling and decoders, with median-frequency weights.

    python -m launch.sweep --ablation=segnet/table1 --size=shapes

`segnet/table1_natural` is the other half of the table, without weights.
"""

import functools

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.segnet import basic_camvid
from experiments.segnet import camvid as segnet_camvid
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import segnet_basic

FCN_BASIC = {
    "model.upsampling": "transposed",
    "model.upsampling_kernel": 8,
    "model.decoder": "none",
}
ADDED, REDUCED = {"model.encoder_addition": True}, {"model.reduce": True}
ROWS: tuple[tuple[str, Change, float | None, float | None], ...] = (  # median, natural frequency
    ("SegNet-Basic", {}, 47.7, 46.3),
    (
        "Bilinear-Interpolation",
        REDUCED | {"model.upsampling": "bilinear", "model.decoder": "none"},
        43.3,
        43.8,
    ),
    ("SegNet-Basic-EncoderAddition", ADDED, 48.5, 47.7),
    ("SegNet-Basic-SingleChannelDecoder", {"model.decoder": "depthwise"}, 46.1, 45.2),
    ("FCN-Basic", FCN_BASIC | ADDED | REDUCED, 47.3, 45.0),
    ("FCN-Basic-NoAddition", FCN_BASIC | REDUCED, 44.1, 44.2),
    ("FCN-Basic-NoDimReduction", FCN_BASIC | ADDED, 50.1, 47.0),
    ("FCN-Basic-NoAddition-NoDimReduction", FCN_BASIC, 45.9, 45.5),
    # Ours: the decoder of SegNet-Basic after other upsampling methods, so that only these differ.
    ("fixed places", {"model.upsampling": "bed_of_nails"}, None, None),
    ("replication", {"model.upsampling": "nearest"}, None, None),
    ("bilinear", {"model.upsampling": "bilinear"}, None, None),
    ("transposed convolution", {"model.upsampling": "transposed"}, None, None),
)


def shapes() -> config.Experiment:
    """SegNet-Basic, a quarter as wide, two stages of 5x5: a map of 16 x 16 pixels.

    Departure: pixels are normalised by mean and deviation, without LRN, which is made for 0..255;
    the background weight is the base's 0.4 instead of the median-frequency weight, 0.024 here, and
    Dice is added. After 300 steps, four stages of 7x7 reached 18 mIoU, three of 5x5 29, and two 42
    (means over the classes that occur: a few pixels are predicted as the class that no image
    contains, with biases too, and would count as a class of 0 in mIoU).
    """
    model = segnet_basic.SegNetBasic(
        small.CLASSES,
        width=16,
        stages=2,
        kernel_size=5,
        input_norm=False,
        use_bias=False,
        norm=CAFFE_NORM.with_decay(small.NORM_DECAY),
    )
    experiment = small.shapes("shapes/thin", model, steps=300)
    experiment.loss.dice = 1.0
    return experiment


def camvid() -> config.Experiment:
    """SegNet-Basic by the recipe of the other networks on CamVid, with the released weights.

    Departure: pixels are normalised by mean and deviation, without LRN; random scales and flips.
    """
    experiment = small.camvid_v3()
    experiment.model = segnet_basic.SegNetBasic(
        11, input_norm=False, use_bias=False, norm=CAFFE_NORM.with_decay(0.97)
    )
    experiment.loss.class_weights = segnet_camvid.RELEASED
    return experiment


def table(natural: bool) -> Ablation:
    """One half of the table.

    Args:
      natural: without class weights.
    """
    plain = {"loss.class_weights": ()}
    own = plain if natural else {}
    return Ablation(
        title=f"SegNet, Table 1: decoders, {'natural' if natural else 'median'} frequency",
        source=(
            "mIoU on CamVid's test, 367 training images, 360 x 480 (arXiv 1511.00561, Table 1). "
            "The paper takes the step with the highest global accuracy on val, and local contrast "
            "normalisation; here the last step counts, with the release's LRN. Steps, weight decay "
            "and the list of class weights are the release's. The last four rows are ours."
        ),
        rows=tuple(
            Row(name, change, second if natural else first) for name, change, first, second in ROWS
        ),
        paper=Size(
            functools.partial(basic_camvid.get_config, "full"),
            {"data.eval_split": "test"} | own,
            seeds=(0,),
        ),
        camvid=Size(camvid, own),
        shapes=Size(shapes, own),
        cause=(
            "Strokes are 1.5 to 2.5 pixels wide and a pixel of the deepest map, after two "
            "poolings, stands for 4 x 4. What is upsampled from it alone, without a decoder "
            "(Bilinear-Interpolation, FCN-Basic-NoAddition), cannot place a stroke. The places of "
            "the maxima say where within the 4 x 4 it was, so SegNet-Basic must beat its own "
            "decoder after fixed places, replication or interpolation, which must guess it from "
            "the features' values. Added maps of the encoder, of stride 2, say it as well, and "
            "more: EncoderAddition and FCN-Basic-NoDimReduction must win, as in the paper."
        ),
    )


def get_ablation() -> Ablation:
    """The half of the table that the paper trains with median-frequency weights."""
    return table(natural=False)
