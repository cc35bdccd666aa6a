"""DeepLab v3+ (arXiv 1802.02611) from random initialisation on CamVid, sized for two CPU cores.

Expected: above 0.498 val mIoU (11 classes, 360x480) after 25 minutes on two cores, what
segmentation_models_pytorch's DeepLabV3Plus-ResNet-18 reached in that time.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deeplab_v3_plus/camvid.py --workdir=runs/camvid
"""

from jaxseg import config
from jaxseg.backbones import resnet
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3_plus


def get_config() -> config.Experiment:
    """A half-width ResNet-18 with separable ASPP and decoder; crops as in the peer.

    The paper's rates 6, 12, 18 belong to crops of 513. The maps of these crops are 12 x 16: there
    the outer taps of a rate of 12 or 18 see almost only padding and stay untrained, while at 360 x
    480 they see the image (at step 800 that cost ten points of mIoU).
    """
    norm = Norm(decay=0.97)
    return config.Experiment(
        model=deeplab_v3_plus.DeepLabV3Plus(
            num_classes=11,
            backbone=resnet.ResNet(depth=18, width=32, output_stride=16, norm=norm),
            atrous_rates=(2, 4, 6),
            aspp_features=128,
            separable=deeplab_v3_plus.Separable(aspp=True, decoder=True),
            decoder=deeplab_v3_plus.Decoder(low_level_features=32, features=128),
            norm=norm,
        ),
        data=config.Data(
            name="camvid",
            batch_size=8,
            crop_size=(192, 256),
            augment=config.Augment(scale_range=(0.5, 1.1), jitter=0.3),
        ),
        # Square roots of the median-frequency weights that jaxseg.data.doctor prints.
        loss=config.Loss(
            class_weights=(0.53, 0.45, 2.19, 0.39, 1.0, 0.65, 1.96, 1.41, 0.89, 2.53, 2.97)
        ),
        optim=config.Optim(
            name="adamw", learning_rate=2e-3, warmup_steps=100, weight_decay=0.02, clip_norm=5.0
        ),
        train=config.Train(
            steps=2_100, log_every=50, eval_every=700, checkpoint_every=700, ema_decay=0.99
        ),
        eval=config.Eval(batch_size=4, size=(360, 480)),
    )
