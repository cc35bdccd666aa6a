"""DeepLab v3+ (arXiv 1802.02611) on MobileNetV2 (1801.04381) on CamVid.

Expected: the papers have no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deeplab_v3_plus/mobilenet_camvid.py \
        --workdir=runs/v3_plus_mobilenet_camvid

From random initialisation, or from a backbone trained on ImageNet with
--config.train.init_from=FOLDER. With --config=experiments/deeplab_v3_plus/mobilenet_camvid.py:full
MobileNetV2 of width 1 with the paper's head by SegNet's protocol, for a GPU.
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.backbones import mobilenet_v2
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3_plus


def get_config(size: str = "small") -> config.Experiment:
    """The data, loss, schedule and protocol of the other networks, so that they are comparable.

    Pixels are scaled to -1..1, as the published weights of MobileNetV2 expect.

    Args:
      size: "small", those of the DeepLab v3+ run, for two CPU cores: width 0.35 with Keras's
        channels, for which weights are published, and a head of 64 features; or "full", SegNet's
        protocol with the channels and the decoder of the released ADE20K model, and the paper's
        rates.

    Raises:
      ValueError: `size` is neither.
    """
    if size == "full":
        norm = Norm(decay=0.99)
        return camvid.segnet_protocol(
            deeplab_v3_plus.DeepLabV3Plus(
                num_classes=11,
                backbone=mobilenet_v2.MobileNetV2(
                    output_stride=16, norm=mobilenet_v2.NORM.with_decay(norm.decay)
                ),
                separable=deeplab_v3_plus.Separable(
                    aspp=True, decoder=True, init="truncated_normal"
                ),
                decoder=deeplab_v3_plus.Decoder("layer_4_depthwise"),
                norm=norm,
            )
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be 'small' or 'full'")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = experiment.model.clone(
        backbone=mobilenet_v2.MobileNetV2(
            width=0.35,
            divisible_by=8,
            output_stride=16,
            norm=mobilenet_v2.NORM.with_decay(0.97),
        ),
        aspp_features=64,
        decoder=deeplab_v3_plus.Decoder("layer_4_depthwise", low_level_features=24, features=64),
    )
    experiment.data.normalisation = config.Normalisation((127.5,) * 3, (127.5,) * 3)
    return experiment
