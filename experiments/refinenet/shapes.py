"""RefineNet (arXiv 1611.06612) on Shapes: a minute or two on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/refinenet/shapes.py --workdir=runs/refinenet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import refinenet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule, with a quarter-width ResNet-18.

    Departure: as in `refinenet/camvid.py`.
    """
    experiment = quickstart.get_config()
    experiment.model = refinenet.RefineNet(
        num_classes=7,
        backbone=refinenet.refinenet_backbone(18, norm=Norm(decay=0.95)).clone(width=16),
        head_features=16,
        scale_paths=True,
        dropout=0.0,
    )
    return experiment
