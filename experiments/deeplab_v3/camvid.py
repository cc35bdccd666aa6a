"""DeepLab v3 (arXiv 1706.05587) from random initialisation on CamVid.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deeplab_v3/camvid.py --workdir=runs/v3_camvid

With --config=experiments/deeplab_v3/camvid.py:full ResNet-50 by SegNet's protocol, for a GPU.
"""

from experiments.deeplab_v3 import voc
from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3


def get_config(size: str = "small") -> config.Experiment:
    """The data, loss, schedule and protocol of the other networks, so that they are comparable.

    Args:
      size: "small", those of the DeepLab v3+ run, for two CPU cores, with its encoder, so that only
        the decoder differs; or "full", SegNet's protocol with the paper's network on ResNet-50.

    Raises:
      ValueError: `size` is neither.
    """
    if size == "full":
        model = voc.get_config().model
        # Averages are shorter than the paper's, because there are far fewer images.
        return camvid.segnet_protocol(
            model.clone(
                num_classes=11, backbone=model.backbone.clone(depth=50), norm=Norm(decay=0.99)
            )
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be 'small' or 'full'")
    experiment = deeplab_v3_plus_camvid.get_config()
    encoder = experiment.model
    experiment.model = deeplab_v3.DeepLabV3(
        num_classes=11,
        backbone=encoder.backbone,
        atrous_rates=encoder.atrous_rates,
        aspp_features=encoder.aspp_features,
        aspp_separable=True,
        norm=encoder.norm,
    )
    return experiment
