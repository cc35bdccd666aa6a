"""ParseNet (arXiv 1506.04579): context, further maps and their normalisation, on PASCAL Context.

    python -m launch.sweep --ablation=parsenet/context --size=shapes

The paper's size starts from an ImageNet VGG-16: --change=train.init_from=VGG16 and
--change=train.init_partial=True.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.parsenet import voc
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import parsenet

MAPS = parsenet.MAPS  # pool6, fc7, conv5, conv4, conv3
PLAIN: Change = {"model.normalize": False}


def paper() -> config.Experiment:
    """On FCN-32s, 60 classes with background.

    Unsure: the paper's recipe is unknown; this is the recipe of `voc.py` on crops of 512, which
    contain whole images.
    """
    experiment = voc.get_config()
    experiment.model = parsenet.parsenet_fcn(60, MAPS)
    experiment.data.name = "pascal_context/60"
    experiment.data.train_split = "train"
    experiment.data.crop_size = (512, 512)
    experiment.eval = config.Eval(batch_size=1, size=(512, 512))
    return experiment


def camvid() -> config.Experiment:
    """On VGG-16 from scratch, with a head of 1024. Departure: batch norm."""
    experiment = small.camvid_v3()
    experiment.model = parsenet.parsenet_fcn(11, MAPS).clone(
        backbone=vgg.VGG(atrous_pools=False, norm=Norm(decay=0.97)),
        head_features=1024,
        dropout=0.1,
    )
    return experiment


def shapes() -> config.Experiment:
    """On an eighth of VGG-11's width, output stride 8, fc6 of 1x1; no batch norm.

    With batch norm all maps would have one scale already, so that the L2 norm would have no effect.
    """
    model = parsenet.parsenet_fcn(small.CLASSES, MAPS).clone(
        backbone=vgg.VGG(depth=11, width=16, output_stride=8, atrous_pools=False),
        kernel_size=1,
        head_features=64,
        dropout=0.0,
    )
    experiment = small.shapes("shapes/scene", model, steps=300)
    experiment.optim.learning_rate = 1e-3
    return experiment


def get_ablation() -> Ablation:
    """The network with all maps, then with fewer and fewer, and without normalisation."""
    fewer: dict[str, Change] = {
        "pool6 + fc7 + conv5 + conv4": {"model.maps": MAPS[:4]},
        "pool6 + fc7 + conv5": {"model.maps": MAPS[:3]},
        "pool6 + fc7": {"model.maps": MAPS[:2]},
    }
    values = (40.2, 39.9, 37.6)
    return Ablation(
        title="ParseNet: context, further maps and their normalisation",
        source=(
            "mIoU of 60 classes on PASCAL Context val, on FCN-32s (arXiv 1506.04579). 40.4 is "
            "quoted by DeepLab v2 too, the other values are unverified; without normalisation the "
            "paper reports clearly less. The recipe, and how the maps are brought to one "
            "resolution, are not known."
        ),
        rows=(
            Row("all five maps", paper=40.4),
            *(Row(*pair, value) for pair, value in zip(fewer.items(), values, strict=True)),
            Row("fc7 (FCN-32s)", {"model.maps": ("fc7",), **PLAIN}, 36.6),
            Row("fc7, normalised", {"model.maps": ("fc7",)}),
            Row("pool6 + fc7, not normalised", {"model.maps": MAPS[:2], **PLAIN}),
            Row("all five maps, not normalised", PLAIN),
            Row("all five maps, late fusion", {"model.fusion": "late"}),
        ),
        paper=Size(paper, seeds=(0,)),
        camvid=Size(camvid),
        shapes=Size(shapes),
        cause=(
            "All discs of an image are captive where a frame stands anywhere in it. VGG-11 at "
            "output stride 8 sees 63 pixels to each side, so fc7 has the frame in its field too, "
            "but weighs what is far away little (effective fields are much smaller): the mean of "
            "the whole map must make it easier. The finer maps, of stride 8 and 4, bring outlines, "
            "which no paper's number separates from context. Without batch norm the maps differ in "
            "scale, and the largest would decide; AdamW, whose steps do not depend on a map's "
            "scale, makes that milder than the papers' SGD."
        ),
    )
