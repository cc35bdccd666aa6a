"""U-Net (arXiv 1505.04597) on the ISBI 2012 EM challenge: neurons in electron microscopy.

Expected: warping error 0.000353, Rand error 0.0382 on the hidden test set (Table 1), averaged over
seven rotated versions of the input; neither is an mIoU. Measured: not yet. Trained without the last
four slices, which are for validation; the challenge's entry takes all of them
(--config.data.train_split=trainval).

    python -m jaxseg.data.prepare --name=isbi_em --manual_dir=ISBI
    python -m jaxseg.main --config=experiments/unet_isbi_em.py --workdir=runs/unet_isbi_em
"""

from jaxseg import config
from jaxseg.models import unet


def get_config() -> config.Experiment:
    """Section 3: batch 1, momentum 0.99, weight map of w0 = 10 and sigma = 5, elastic deformation.

    Classes are 0 membrane, which is the background between the cells, and 1 cell. The input tile is
    668 x 668: a crop of 484, which shifts the image, with mirrored borders; turned by any angle,
    bent by vectors of deviation 10 pixels, varied in grey.

    Unsure: the paper states neither learning rate, steps, weight decay, nor the strength of the
    grey variation; those here are ours. Its class weights balance the frequencies: give those that
    the doctor prints for the prepared set (--config.loss.class_weights=...).
    """
    return config.Experiment(
        model=unet.UNet(num_classes=2),
        data=config.Data(
            name="isbi_em",
            train_split="train",
            eval_split="val",  # the labels of the test images are the organisers'
            batch_size=1,
            crop_size=(484, 484),
            scale_range=(1.0, 1.0),
            jitter=0.2,
            rotation=180.0,
            elastic=10.0,
            border="mirror",
        ),
        loss=config.Loss(boundary=10.0, boundary_sigma=5.0),
        optim=config.Optim(
            learning_rate=1e-3, schedule="constant", momentum=0.99, weight_decay=0.0
        ),
        train=config.Train(steps=30_000),
        eval=config.Eval(batch_size=1, size=(512, 512)),
    )
