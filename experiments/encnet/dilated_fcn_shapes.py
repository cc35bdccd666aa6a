"""The dilated FCN of EncNet's paper (arXiv 1803.08904) on Shapes: a minute or two on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/encnet/dilated_fcn_shapes.py \
        --workdir=runs/dilated_fcn
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import dilated_fcn, encnet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; the network of `encnet/shapes.py` without context.

    A quarter-width ResNet-18 at output stride 8.
    """
    experiment = quickstart.get_config()
    norm = Norm(decay=0.95)
    experiment.model = dilated_fcn.DilatedFCN(
        num_classes=7,
        backbone=encnet.encnet_backbone(18, norm).clone(width=16),
        head_features=64,
        aux_features=32,
        norm=norm,
    )
    return experiment
