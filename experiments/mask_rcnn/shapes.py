"""Drawn objects (shapes/instances) with a small Mask R-CNN (arXiv 1703.06870) on one map.

The network of `bash launch/quickstart.sh instances`. In a few minutes on two CPU cores a single map
at stride 8 learns more than a pyramid (docs/ablations.md, Table 2a).
Expected: that objects which touch or overlap are told apart. Measured, one seed, on val: box AP
60.0, mask AP 37.8; thin objects are often missed (docs/results.md).

    python -m jaxseg.data.prepare --name=shapes/instances
    python -m jaxseg.main --config=experiments/mask_rcnn/shapes.py --workdir=runs/instances
"""

from experiments.bases import small_instances
from jaxseg import config


def get_config() -> config.Experiment:
    """12 passes over 800 images, in about 3 minutes of two CPU cores."""
    experiment = small_instances.single_map(steps=1_200)
    experiment.train.log_every = 25
    experiment.train.eval_every = experiment.train.checkpoint_every = 600
    return experiment
