"""PSPNet (arXiv 1612.01105) with ResNet-101 on PASCAL VOC 2012 trainaug.

Expected: 79.07 mIoU on val with one scale and 79.63 with six (--protocol=semseg_multi), both with
the mirror image: the figures of the authors' PyTorch re-implementation (hszhao/semseg, README.md),
whose recipe and protocol (--protocol=semseg, the default here) these are. The paper gives 82.6 on
test without COCO by the Caffe release (hszhao/PSPNet), whose protocols --protocol=pspnet and
--protocol=pspnet_multi are; it has no figure on val of VOC.
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/pspnet/voc.py --workdir=runs/pspnet_voc
"""

from jaxseg import config
from jaxseg.inference import protocols
from jaxseg.models import pspnet


def get_config() -> config.Experiment:
    """hszhao/semseg, tool/train.py and config/voc2012/voc2012_pspnet101.yaml; section 5.1.

    Crop 473, batch 16, poly 0.01, auxiliary weight 0.4; views rotated by up to 10 degrees and
    blurred, each in half of the cases; new layers learn ten times as fast; torch's SGD decays all
    parameters, including norms and biases. 50 epochs of 10,582 images are 33,069 steps; the paper
    trains
    30,000. Departure: in the Caffe release norms and biases do not decay
    (--config.optim.decayed=kernels).
    """
    return config.Experiment(
        model=pspnet.PSPNet(num_classes=21, backbone=pspnet.pspnet_backbone(101)),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=16,
            crop_size=(473, 473),
            augment=config.Augment(
                scale_range=(0.5, 2.0), rotation=10.0, rotation_probability=0.5, blur=0.5
            ),
            normalisation=config.Normalisation(
                mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
            ),
        ),
        loss=config.Loss(aux_weight=0.4),
        optim=config.Optim(
            learning_rate=0.01,
            schedule="poly",
            power=0.9,
            weight_decay=1e-4,
            decayed=("all",),
            multipliers=((r"^(?!backbone/)", 10.0),),
        ),
        train=config.Train(steps=30_000),
        eval=protocols.named("semseg", config.Eval()),
    )
