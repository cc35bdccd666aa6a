"""DeepLab v3+ (arXiv 1802.02611) on your own image and mask folders.

Expected and measured: depends on your data. Set the data set's name; the number of classes and
their names come from the prepared data set:

    python -m jaxseg.data.prepare --name=folder/roads --images=photos --masks=masks \
        --classes=classes.txt
    python -m jaxseg.main --config=experiments/deeplab_v3_plus/folder.py --workdir=runs/roads \
        --config.data.name=folder/roads
"""

from experiments.deeplab_v3_plus import camvid
from jaxseg import config


def get_config() -> config.Experiment:
    """CamVid's small network and recipe, with crops of 257 and scales as in the papers.

    For any number of classes, with equal weights; if some are rare, use the weights that the doctor
    prints (--config.loss.class_weights=...).
    """
    experiment = camvid.get_config()
    experiment.model = experiment.model.clone(num_classes=0)  # the number of classes in the data
    experiment.loss.class_weights = ()
    experiment.data.name = "folder/mine"
    experiment.data.crop_size = (257, 257)
    experiment.data.augment.scale_range = (0.5, 2.0)
    experiment.eval.size = (0, 0)
    return experiment
