"""The small base experiments that the papers' tables vary at the sizes "shapes" and "camvid".

The shapes size has images of 64 x 64 pixels, an eighth of the papers' 513, and networks whose stem
alone has a stride of 4: they measure an effect with a known cause, not a paper's number. Each data
set of `shapes/` (jaxseg/data/builders/shapes.py) isolates one requirement:

    shapes/thin    resolution: strokes that a coarse output stride loses
    shapes/far     receptive field: inside or outside of a frame whose walls are far away
    shapes/scene   global context: is there a frame anywhere in the image?
    shapes/rare    imbalance
    shapes/cells   borders between objects that nearly touch

    python -m launch.sweep --ablation=deeplab_v3/table1 --size=shapes
"""

import dataclasses

import flax.linen as nn

from experiments.deeplab_v3 import voc
from experiments.deeplab_v3_plus import camvid, xception_voc
from experiments.deeplab_v3_plus import voc as deeplab_v3_plus_voc
from jaxseg import config
from jaxseg.backbones import resnet, xception
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3, deeplab_v3_plus

CLASSES = 7
SIDE = 64  # pixels
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of inference in DeepLab v3 and v3+
NORM_DECAY = 0.95  # short runs: the papers' 0.9997 would leave the averages unusable


def shapes(name: str, model: nn.Module, *, steps: int = 300) -> config.Experiment:
    """The recipe of the quick start (AdamW, flips) on 64 x 64 pixels, for any 7-class network.

    As in the quick start, the loss down-weights the background and includes Dice: with plain
    cross-entropy, a network of output stride 8 predicted only background on thin strokes after 300
    steps. A table about the loss sets "loss" as a whole.

    Args:
      name: of a drawn data set, such as "shapes/thin".
      model: with a norm decay for short runs, such as NORM_DECAY.
      steps: of batches of 16; 50 steps are one pass over the 800 training images.
    """
    return config.Experiment(
        model=model,
        data=config.Data(
            name=name,
            batch_size=16,
            crop_size=(SIDE, SIDE),
            augment=config.Augment(scale_range=(1.0, 1.0)),
        ),
        loss=config.Loss(class_weights=(0.4,) + (1.0,) * (CLASSES - 1), dice=0.5),
        optim=config.Optim(
            name="adamw", learning_rate=4e-3, warmup_steps=30, weight_decay=0.01, clip_norm=5.0
        ),
        train=config.Train(
            steps=steps,
            log_every=50,
            eval_every=0,
            checkpoint_every=steps,
            ema_decay=0.98,
            pictures=0,
        ),
        eval=config.Eval(batch_size=20),
    )


def aligned(experiment: config.Experiment) -> config.Experiment:
    """Pads by one row and column of void: 65 pixels are 16 k + 1, like the papers' 513.

    Upsampling with aligned corners puts the last cell of a map on the last pixel. With 65 pixels
    the cell lies there at any output stride up to 64. With 64 pixels the 4 cells of output stride
    16, at 0, 16, 32 and 48, are stretched by 63 / 48, and those of output stride 8 by 63 / 56: a
    network trained at one output stride is misaligned at the other.
    """
    experiment.data.crop_size = experiment.eval.size = (SIDE + 1, SIDE + 1)
    return experiment


def resnet10(output_stride: int = 16) -> resnet.ResNet:
    """Four stages of one basic unit at a quarter of the width; it sees all 64 pixels."""
    return resnet.ResNet(
        depth=18,
        stage_units=(1, 1, 1, 1),
        width=16,
        output_stride=output_stride,
        stem="3x3x3",
        norm=Norm(decay=NORM_DECAY),
    )


def short_sighted(stage_units: tuple[int, ...], width: int = 16) -> resnet.ResNet:
    """A ResNet truncated after its first stages, at output stride 4: maps of 16 x 16.

    A whole ResNet's receptive field, 435 pixels and more, is larger than images of 64 pixels, so
    rates and pooling would have nothing to add. Bottleneck units have one 3x3 convolution each,
    which adds 4 pixels to each side in stage 1 and 8 in stage 2.
    """
    return resnet.ResNet(
        depth=50,
        stage_units=stage_units,
        width=width,
        output_stride=4,
        stem="3x3x3",
        stride_at="last_3x3",
        multi_grid=(1,) * stage_units[-1],
        norm=Norm(decay=NORM_DECAY),
    )


def shapes_v3(name: str, output_stride: int = 16) -> config.Experiment:
    """DeepLab v3 without ASPP, as in its cascade, on a narrow ResNet of ten layers."""
    model = deeplab_v3.DeepLabV3(
        CLASSES, resnet10(output_stride), aspp=False, norm=Norm(decay=NORM_DECAY)
    )
    return aligned(shapes(name, model))


def shapes_cascade(stage_units: tuple[int, ...] = (1,)) -> config.Experiment:
    """DeepLab v3's cascade on a network with a small receptive field, for distant context."""
    return shapes(
        "shapes/far",
        deeplab_v3.DeepLabV3(
            CLASSES, short_sighted(stage_units), aspp=False, norm=Norm(decay=NORM_DECAY)
        ),
        steps=600,
    )


def shapes_aspp(name: str, stage_units: tuple[int, ...] = (1,)) -> config.Experiment:
    """DeepLab v3 with ASPP on a network with a small receptive field.

    The rates (1, 2, 3), stated at output stride 16, become (4, 8, 12) on its maps of 16 x 16: the
    same fractions of the map as the paper's (6, 12, 18) on 33 x 33, or slightly more.
    """
    return shapes(
        name,
        deeplab_v3.DeepLabV3(
            CLASSES,
            short_sighted(stage_units),
            atrous_rates=(1, 2, 3),
            aspp_features=64,
            norm=Norm(decay=NORM_DECAY),
        ),
    )


def shapes_v3_plus(name: str, output_stride: int = 16) -> config.Experiment:
    """DeepLab v3+ on a narrow ResNet of ten layers, with a rate that suits a map of 5 x 5."""
    model = deeplab_v3_plus.DeepLabV3Plus(
        CLASSES,
        resnet10(output_stride),
        atrous_rates=(2,),
        aspp_features=64,
        decoder=deeplab_v3_plus.Decoder(low_level_features=16, features=64),
        norm=Norm(decay=NORM_DECAY),
    )
    return aligned(shapes(name, model))


def shapes_xception() -> config.Experiment:
    """DeepLab v3+ on a small Xception: 0.15 of its width, two modules in the middle flow."""
    experiment = shapes_v3_plus("shapes/cells")
    experiment.model = experiment.model.clone(
        backbone=xception.Xception(
            depth=41,
            width=0.15,
            middle_modules=2,
            output_stride=16,
            norm=xception.NORM.with_decay(NORM_DECAY),
        ),
        decoder=dataclasses.replace(experiment.model.decoder, low_level="entry2_pointwise2"),
        separable=deeplab_v3_plus.Separable(aspp=True, decoder=True),
    )
    return experiment


def encoder_alone(experiment: config.Experiment) -> deeplab_v3.DeepLabV3:
    """DeepLab v3 on the encoder of a DeepLab v3+ experiment: the same network without decoder."""
    plus = experiment.model
    assert isinstance(plus, deeplab_v3_plus.DeepLabV3Plus)
    return deeplab_v3.DeepLabV3(
        plus.num_classes,
        plus.backbone,
        atrous_rates=plus.atrous_rates,
        image_pooling=plus.image_pooling,
        aspp_features=plus.aspp_features,
        aspp_separable=plus.separable.aspp,
        norm=plus.norm,
    )


def _on_camvid(model: nn.Module) -> config.Experiment:
    """CamVid at full resolution, for a GPU: the recipe of the small runs on whole images, longer.

    8,000 steps of 8 whole images are 174 passes; random scales of 0.5 to 2 as in the papers.
    """
    experiment = camvid.get_config()
    experiment.model = model
    experiment.data.crop_size = (360, 480)
    experiment.data.augment.scale_range = (0.5, 2.0)
    experiment.optim.learning_rate = 1e-3
    experiment.optim.warmup_steps = 500
    experiment.train = config.Train(
        steps=8_000, log_every=50, eval_every=2_000, checkpoint_every=2_000, ema_decay=0.99
    )
    return experiment


def camvid_v3(depth: int = 50) -> config.Experiment:
    """DeepLab v3 as published, on ResNet-50, from random initialisation unless train.init_from."""
    model = voc.get_config().model
    return _on_camvid(
        model.clone(
            num_classes=11,
            backbone=model.backbone.clone(depth=depth, norm=model.backbone.norm.with_decay(0.97)),
            norm=Norm(decay=0.97),  # shorter averages than the paper's, for far fewer images
        )
    )


def camvid_v3_plus(depth: int = 50) -> config.Experiment:
    """DeepLab v3+ as published, on ResNet-50; see `camvid_v3`."""
    model = deeplab_v3_plus_voc.get_config().model
    encoder = camvid_v3(depth).model
    return _on_camvid(model.clone(num_classes=11, backbone=encoder.backbone, norm=encoder.norm))


def camvid_xception() -> config.Experiment:
    """DeepLab v3+ as published, on Xception-65; see `camvid_v3`."""
    model = xception_voc.get_config().model
    decay = 0.97
    return _on_camvid(
        model.clone(
            num_classes=11,
            backbone=model.backbone.clone(norm=model.backbone.norm.with_decay(decay)),
            norm=Norm(decay=decay),
        )
    )


def cityscapes_v3() -> config.Experiment:
    """DeepLab v3 as published on Cityscapes: crop 769, 90,000 steps, whole images of 1025 x 2049.

    From the appendix of arXiv 1706.05587 (unverified); for v3+ these are the released code's
    values.
    """
    return _on_cityscapes(voc.get_config())


def cityscapes_v3_plus() -> config.Experiment:
    """DeepLab v3+ with Xception-65 on Cityscapes, by the recipe of the released code."""
    return _on_cityscapes(xception_voc.get_config())


def _on_cityscapes(experiment: config.Experiment) -> config.Experiment:
    experiment.model = experiment.model.clone(num_classes=19)
    experiment.data.name = "cityscapes"
    experiment.data.train_split = "train"
    experiment.data.crop_size = (769, 769)
    experiment.train.steps = 90_000
    experiment.eval = config.Eval(batch_size=1, size=(1025, 2049))
    return experiment
