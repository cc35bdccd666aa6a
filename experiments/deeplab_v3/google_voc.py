r"""Google's DeepLab v3 (arXiv 1706.05587) on MobileNetV2 (1801.04381) of width 0.5, on PASCAL VOC.

The network of deeplabv3_257_mv_gpu.tflite: image pooling and a 1x1 branch, no atrous branches.
Expected: about 70.2 val mIoU; the released models' table has no row for this file, but its sibling
of the same width has 70.19 at output stride 16 (mobilenetv2_dm05_coco_voc_trainaug).
Measured: see experiments/results/google_deeplab_v3_voc.json.

    python -m jaxseg.main --config=experiments/deeplab_v3/google_voc.py --mode=predict \
        --weights=deeplabv3_257_mv_gpu.tflite --inputs=PHOTOS --output=predictions
    python -m jaxseg.main --config=experiments/deeplab_v3/google_voc.py --mode=evaluate \
        --weights=deeplabv3_257_mv_gpu.tflite --workdir=runs/google --config.eval.output_stride=16
"""

import dataclasses

from jaxseg import config
from jaxseg.backbones import mobilenet_v2
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3


def get_config() -> config.Experiment:
    """The released network; the recipe is that of the released code on VOC trainval.

    Biases of convolutions, here the classifier's, learn twice as fast (tensorflow/models,
    research/deeplab/utils/train_utils.py).

    Norms are frozen: imported batch norms are folded and hold no statistics of the features.
    """
    return config.Experiment(
        model=deeplab_v3.DeepLabV3(
            num_classes=21,
            backbone=mobilenet_v2.MobileNetV2(
                width=0.5,
                divisible_by=1,
                output_stride=8,
                norm=dataclasses.replace(mobilenet_v2.NORM, kind="frozen"),
            ),
            atrous_rates=(),
            image_pooling=True,
            norm=Norm("frozen", decay=0.9997),
        ),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=16,
            crop_size=(513, 513),
            augment=config.Augment(scale_range=(0.5, 2.0), scale_step=0.25),
            normalisation=config.Normalisation(
                mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
            ),
        ),
        optim=config.Optim(
            learning_rate=1e-4, weight_decay=4e-5, multipliers=((r"^classifier/bias$", 2.0),)
        ),
        train=config.Train(steps=30_000),
        eval=config.Eval(size=(513, 513)),
    )
