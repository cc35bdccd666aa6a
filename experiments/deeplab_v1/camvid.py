"""DeepLab v1 (arXiv 1412.7062), LargeFOV, on CamVid: for two CPU cores, or by SegNet's protocol.

Expected: "full": 50.18 mIoU on test after 40k steps, 53.88 at its best (140k): DeepLab-LargeFOV in
SegNet's Table 3, from the weights of VGG-16 and 3,433 training images; CamVid alone has 367. Yu and
Koltun list 61.6.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deeplab_v1/camvid.py --workdir=runs/deeplab_v1
    python -m jaxseg.main --config=experiments/deeplab_v1/camvid.py:full \
        --workdir=runs/deeplab_v1_full
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v1


def get_config(size: str = "small") -> config.Experiment:
    """LargeFOV in one of two sizes.

    - "small": a quarter of VGG-16's width and a head of 128 features; data, loss, schedule and
      protocol of the DeepLab v3+ run, so that the networks are comparable. fc6 has rate 6: on these
      crops' maps of 25 x 33 the outer taps of rate 12 would see little but padding.
    - "full": the paper's network by `camvid.segnet_protocol`, which gives every network a
      norm after each convolution: here after those of VGG, not after fc6 and fc7.

    Departure: batch norm.

    Raises:
      ValueError: `size` is none of these.
    """
    backbone = deeplab_v1.large_fov_backbone()
    if size == "full":
        return camvid.segnet_protocol(
            deeplab_v1.DeepLabV1(num_classes=11, backbone=backbone.clone(norm=Norm()))
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = deeplab_v1.DeepLabV1(
        num_classes=11,
        backbone=backbone.clone(width=16, norm=Norm(decay=0.97)),
        rate=6,
        head_features=128,
        dropout=0.1,
    )
    return experiment
