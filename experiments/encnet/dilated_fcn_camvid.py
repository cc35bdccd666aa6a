"""The dilated FCN of EncNet's paper (arXiv 1803.08904) from random initialisation on CamVid.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/encnet/dilated_fcn_camvid.py \
        --workdir=runs/dilated_fcn

With --config=experiments/encnet/dilated_fcn_camvid.py:full ResNet-50 by SegNet's protocol, for
a GPU.
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import dilated_fcn, encnet


def get_config(size: str = "small") -> config.Experiment:
    """The network of `encnet/camvid.py` without the context encoding: the paper's baseline.

    Args:
      size: "small" or "full", as in `encnet/camvid.py`.

    Raises:
      ValueError: `size` is neither.
    """
    if size == "full":
        return camvid.segnet_protocol(
            dilated_fcn.DilatedFCN(num_classes=11, backbone=encnet.encnet_backbone(50))
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be 'small' or 'full'")
    experiment = deeplab_v3_plus_camvid.get_config()
    norm = Norm(decay=0.97)
    experiment.model = dilated_fcn.DilatedFCN(
        num_classes=11,
        backbone=encnet.encnet_backbone(18, norm).clone(width=32),
        head_features=128,
        aux_features=64,
        norm=norm,
    )
    return experiment
