"""RefineNet (arXiv 1611.06612) from random initialisation on CamVid.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/refinenet/camvid.py --workdir=runs/refinenet_camvid

With --config=experiments/refinenet/camvid.py:full ResNet-50 by SegNet's protocol, for a GPU.
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import refinenet


def get_config(size: str = "small") -> config.Experiment:
    """The data, loss, schedule and protocol of the other networks, so that they are comparable.

    Departure: the norms of the backbone are trained, since it starts from scratch; in the small
    network the kernels on the paths of the head have He et al.'s normal initialisation, and the
    dropout rate is lower.

    Args:
      size: "small", those of the DeepLab v3+ run, for two CPU cores: a half-width ResNet-18 and a
        quarter of the paper's features; or "full", SegNet's protocol with the paper's network.

    Raises:
      ValueError: `size` is neither.
    """
    if size == "full":
        return camvid.segnet_protocol(
            refinenet.RefineNet(num_classes=11, backbone=refinenet.refinenet_backbone(50))
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be 'small' or 'full'")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = refinenet.RefineNet(
        num_classes=11,
        backbone=refinenet.refinenet_backbone(18, norm=Norm(decay=0.97)).clone(width=32),
        head_features=64,
        scale_paths=True,
        dropout=0.1,
    )
    return experiment
