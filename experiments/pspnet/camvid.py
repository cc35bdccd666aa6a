"""PSPNet (arXiv 1612.01105) on CamVid: for two CPU cores, or at full size by SegNet's protocol.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/pspnet/camvid.py --workdir=runs/pspnet_camvid
    python -m jaxseg.main --config=experiments/pspnet/camvid.py:full --workdir=runs/pspnet_full
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import pspnet


def get_config(size: str = "small") -> config.Experiment:
    """PSPNet in one of two sizes.

    - "small": a half-width ResNet-18 at output stride 8 with the paper's head at half its features;
      data, loss, schedule and protocol of the DeepLab v3+ run, so that the networks are comparable.
    - "full": the paper's network on ResNet-50 (Table 1) by `camvid.segnet_protocol`.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "full":
        return camvid.segnet_protocol(
            pspnet.PSPNet(num_classes=11, backbone=pspnet.pspnet_backbone(50))
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    norm = Norm(decay=0.97)
    experiment.model = pspnet.PSPNet(
        num_classes=11,
        backbone=pspnet.pspnet_backbone(18, norm).clone(width=32),
        head_features=128,
        aux_features=64,
        norm=norm,
    )
    return experiment
