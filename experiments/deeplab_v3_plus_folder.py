"""DeepLab v3+ (arXiv 1802.02611) on your own image and mask folders.

Expected and measured: yours. Set the data set's name and its number of classes:

    python -m jaxseg.data.prepare --name=folder/roads --images=photos --masks=masks \
        --classes=classes.txt
    python -m jaxseg.main --config=experiments/deeplab_v3_plus_folder.py --workdir=runs/roads \
        --config.data.name=folder/roads --config.model.num_classes=4
"""

from experiments import deeplab_v3_plus_camvid
from jaxseg import config


def get_config() -> config.Experiment:
    """CamVid's small network and recipe, with crops of 257 and scales as in the papers."""
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.data.name = "folder/mine"
    experiment.data.crop_size = (257, 257)
    experiment.data.scale_range = (0.5, 2.0)
    experiment.eval.size = (0, 0)
    return experiment
