"""FCN-8s (arXiv 1605.06211) on CamVid: for two CPU cores, or at full size by SegNet's protocol.

Expected: "full": 46.59 mIoU on test after 40k steps, 49.83 at its best (200k): SegNet's Table 3,
FCN with fixed deconvolution (it does not state which of the three FCNs), from the weights of
VGG-16 and 3,433 training images; CamVid alone has 367. With learned deconvolution 48.68 and 51.96.
FC-DenseNet's paper (arXiv 1611.09326, Table 1) lists FCN-8s at 57.0 (unverified).
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/fcn/camvid.py --workdir=runs/fcn8s_camvid
    python -m jaxseg.main --config=experiments/fcn/camvid.py:full --workdir=runs/fcn8s_full
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import fcn


def get_config(size: str = "small") -> config.Experiment:
    """FCN-8s in one of two sizes.

    - "small": a quarter of VGG-16's width and a head of 128 features; data, loss, schedule and
      protocol of the DeepLab v3+ run, so that the networks are comparable.
    - "full": the paper's network by `camvid.segnet_protocol`, which gives every network a
      norm after each convolution: here after those of VGG, not after fc6 and fc7.

    Departure: batch norm; the small one has zeros around each map in place of the border of 100,
    with which crops of 192 x 256 would cost almost four times as much.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "full":
        backbone = vgg.VGG(image_padding=100, norm=Norm())
        return camvid.segnet_protocol(fcn.FCN(num_classes=11, backbone=backbone))
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = fcn.FCN(
        num_classes=11,
        backbone=vgg.VGG(width=16, norm=Norm(decay=0.97)),
        head_features=128,
        fc6_padding=None,
        dropout=0.1,
    )
    return experiment
