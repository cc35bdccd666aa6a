"""RefineNet (arXiv 1611.06612) with ResNet-101 on PASCAL VOC 2012 trainaug.

Expected: 80.5 mIoU on val with one scale, the figure of the PyTorch port (DrSleep); the paper gives
83.4 on test with ResNet-152, COCO and several scales: --protocol=refinenet_multi has the five of
the released code (guosheng/refinenet, main/demo_predict_mscale_voc.m).
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/refinenet/voc.py --workdir=runs/refinenet_voc
"""

from jaxseg import config
from jaxseg.inference import protocols
from jaxseg.layers.norm import Norm
from jaxseg.models import refinenet

TRAIN_IMAGES = 10_582


def get_config() -> config.Experiment:
    """The released code's recipe: single images, frozen norms, 5e-4 and then a tenth of it.

    guosheng/refinenet: main/my_get_batch_ds_info.m first upsamples an image whose short side is
    below 450 to 450 (main/demo_refinenet_train.m); main/gen_net_opts_model_type1.m scales that by
    0.7 to 1.3 in steps of 0.1, crops 400 pixels and gives the network the crop at 1.2 times its
    size: the same as scaling by 0.84 to 1.56 and cropping 480. So an image of 500 x 375 is seen at
    1.0 to 1.9 times its size, one of 500 x 333 at 1.1 to 2.1. Evaluation has the same 450 and 1.2.
    The backbone learns a tenth as fast. MatConvNet decays what a layer does not exempt, and no
    convolution of main/gen_network_refine_group.m exempts its bias.

    Departure: the authors lower the rate by hand (main/demo_refinenet_train_reduce_learning_rate.m,
    from an epoch of their choice) and do not say how long they train: 30 epochs and 10 more are
    ours. Each image is drawn for a random class, whereas the authors fill an epoch until every
    class has its number of images. Pixels are normalised as torchvision's weights expect, whereas
    the authors subtract 128; images are upsampled bilinearly, not bicubically. Unsure: whether
    their pre-trained file exempts norms from decay; here they are.
    """
    return config.Experiment(
        model=refinenet.RefineNet(
            num_classes=21, backbone=refinenet.refinenet_backbone(101, norm=Norm("frozen"))
        ),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=1,
            crop_size=(480, 480),
            augment=config.Augment(
                short_side=450, scale_range=(0.84, 1.56), scale_step=0.12, class_crops=True
            ),
            balance=True,
            normalisation=config.Normalisation(
                mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
            ),
        ),
        optim=config.Optim(
            learning_rate=5e-4,
            schedule="step",
            decay_steps=(30 * TRAIN_IMAGES,),
            decay_factor=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            decayed=("kernels", "biases"),
            multipliers=((r"^backbone/", 0.1),),
        ),
        train=config.Train(steps=40 * TRAIN_IMAGES, eval_every=TRAIN_IMAGES),
        eval=protocols.named("refinenet", config.Eval(batch_size=1)),
    )
