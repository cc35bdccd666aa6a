"""U-Net (arXiv 1505.04597) on CamVid: for two CPU cores, or at full size by SegNet's protocol.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/unet/camvid.py --workdir=runs/unet_camvid
    python -m jaxseg.main --config=experiments/unet/camvid.py:full --workdir=runs/unet_full
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import unet


def get_config(size: str = "small") -> config.Experiment:
    """U-Net in one of two sizes.

    - "small": a quarter of the paper's width, with data, loss, schedule and protocol of the
      DeepLab v3+ run, for comparable networks. Departure: zeros around each map, batch norm.
    - "full": the paper's figure by `camvid.segnet_protocol`. Departure: batch norm after
      each convolution, which that benchmark gives to every network.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "full":
        return camvid.segnet_protocol(unet.UNet(num_classes=11, norm=Norm()))
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = unet.UNet(
        num_classes=11, width=16, valid=False, norm=Norm(decay=0.97), dropout=0.1
    )
    return experiment
