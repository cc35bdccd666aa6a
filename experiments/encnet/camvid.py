"""EncNet (arXiv 1803.08904) from random initialisation on CamVid.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/encnet/camvid.py --workdir=runs/encnet_camvid

With --config=experiments/encnet/camvid.py:full ResNet-50 by SegNet's protocol, for a GPU.
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import encnet


def get_config(size: str = "small") -> config.Experiment:
    """The data, loss, schedule and protocol of the other networks, so that they are comparable.

    Args:
      size: "small", those of the DeepLab v3+ run, for two CPU cores: a half-width ResNet-18 at
        output stride 8 and a quarter of the paper's head; or "full", SegNet's protocol with the
        paper's network.

    Raises:
      ValueError: `size` is neither.
    """
    if size == "full":
        return camvid.segnet_protocol(
            encnet.EncNet(num_classes=11, backbone=encnet.encnet_backbone(50))
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be 'small' or 'full'")
    experiment = deeplab_v3_plus_camvid.get_config()
    norm = Norm(decay=0.97)
    experiment.model = encnet.EncNet(
        num_classes=11,
        backbone=encnet.encnet_backbone(18, norm).clone(width=32),
        head_features=128,
        aux_features=64,
        norm=norm,
    )
    return experiment
