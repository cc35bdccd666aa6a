"""ParseNet (arXiv 1506.04579) on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/parsenet/shapes.py --workdir=runs/parsenet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import parsenet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; an eighth of VGG-16's width, all five maps.

    Departure: batch norm, as in the other networks on Shapes.
    """
    experiment = quickstart.get_config()
    model = parsenet.parsenet_fcn(7, parsenet.MAPS)
    experiment.model = model.clone(
        backbone=model.backbone.clone(width=8, norm=Norm(decay=0.95)),
        head_features=64,
        dropout=0.0,
    )
    return experiment
