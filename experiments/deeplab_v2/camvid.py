"""DeepLab v2 (arXiv 1606.00915) on a ResNet on CamVid: for two CPU cores, or by SegNet's protocol.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deeplab_v2/camvid.py --workdir=runs/deeplab_v2_camvid
    python -m jaxseg.main --config=experiments/deeplab_v2/camvid.py:full \
        --workdir=runs/deeplab_v2_full
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v2


def get_config(size: str = "small") -> config.Experiment:
    """ResNet and ASPP in one of two sizes, at one scale (--config.model.scales=1,0.75,0.5: three).

    - "small": a half-width ResNet-18 with ASPP-S, whose rates suit the maps of 24 x 32 of these
      crops; data, loss, schedule and protocol of the DeepLab v3+ run, for comparable networks.
    - "full": the paper's ResNet-101 with ASPP-L by `camvid.segnet_protocol`.

    Departure: norms are trained, since neither size starts from trained ones.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "full":
        return camvid.segnet_protocol(
            deeplab_v2.DeepLabV2(
                num_classes=11, backbone=deeplab_v2.deeplab_v2_resnet(101, norm=Norm())
            )
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    backbone = deeplab_v2.deeplab_v2_resnet(18, norm=Norm(decay=0.97))
    experiment.model = deeplab_v2.DeepLabV2(
        num_classes=11,
        backbone=backbone.clone(width=32, stride_at="first_3x3"),
        atrous_rates=deeplab_v2.ASPP_S,
    )
    return experiment
