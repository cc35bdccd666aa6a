"""Patch classification, the first naive way, on Shapes: a few minutes on two CPU cores.

A baseline without a paper of its own.
Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/naive/patch_classifier_shapes.py \
        --workdir=runs/patch_classifier_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import patch_classifier


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; each pixel is classified by its 45 x 45 patch.

    Training uses the dense form of the same function (`python -m experiments.benchmarks.patches`
    shows the saving), with half as many images per step, which are still 130,000 patches.
    """
    experiment = quickstart.get_config()
    experiment.model = patch_classifier.PatchClassifier(
        num_classes=7, width=8, head_features=32, norm=Norm(decay=0.95)
    )
    experiment.data.batch_size = 8
    return experiment
