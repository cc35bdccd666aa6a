"""FCN with bilinear or learned deconvolution (SegNet, arXiv 1511.00561, Table 3).

    python -m launch.sweep --ablation=fcn/deconvolution --size=shapes

The paper's size starts from an ImageNet VGG-16: --change=train.init_from=VGG16 and
--change=train.init_partial=True.
"""

import functools

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.fcn import camvid, strides


def get_ablation() -> Ablation:
    """The deconvolutions of FCN-8s: fixed, learned except for the last one, all learned."""
    at_once = {"model.stride": 8}
    return Ablation(
        title="SegNet, Table 3: FCN with fixed and learned deconvolution",
        source=(
            "mIoU on CamVid's test after 40k steps of batch 5, from VGG-16 and 3,433 training "
            "images, of which CamVid has 367 (arXiv 1511.00561, Table 3; 49.83 and 51.96 at their "
            "best, after 200k and 160k). Unsure: which FCN it was, and which of its "
            "deconvolutions were learned; FCN's authors call the difference insignificant (README "
            "of shelhamer/fcn.berkeleyvision.org)."
        ),
        rows=(
            Row("fixed", paper=46.59),
            Row("learned", {"model.deconvolution": "learned"}, 48.68),
            Row("all learned", {"model.deconvolution": "all_learned"}),
        ),
        paper=Size(
            functools.partial(camvid.get_config, "full"),
            {"data.eval_split": "test"},
            seeds=(0,),
        ),
        camvid=Size(strides.camvid, at_once | {"train.steps": 8_000}),
        shapes=Size(strides.shapes, at_once | {"train.steps": 3 * strides.STAGE}),
        cause=(
            "A bilinear kernel of 16 taps cannot draw a stroke of 4 pixels from scores of stride 8 "
            "(the images are upsampled to 128 x 128). A learned last one, 16 x 16 from each class "
            "to each, can draw finer pictures, but one and the same for each score, and with 7 "
            "classes it has 7 numbers a place to choose from: where in its 8 pixels a stroke runs "
            "is hardly in them, so it must gain little. The enlargements by 2 before it mix "
            "classes, which the scores could do themselves: nothing to gain."
        ),
    )
