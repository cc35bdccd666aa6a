"""DeepLab v3 (arXiv 1706.05587) on Shapes: a minute or two on two CPU cores.

Expected: no figure is published; the quick start's network, which adds the decoder of v3+, reaches
0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/deeplab_v3/shapes.py --workdir=runs/v3_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.models import deeplab_v3


def get_config() -> config.Experiment:
    """The quick start's data, loss, schedule and encoder, at output stride 8: it has no decoder."""
    experiment = quickstart.get_config()
    encoder = experiment.model
    experiment.model = deeplab_v3.DeepLabV3(
        num_classes=7,
        backbone=encoder.backbone.clone(output_stride=8),
        atrous_rates=encoder.atrous_rates,
        aspp_features=encoder.aspp_features,
        norm=encoder.norm,
    )
    return experiment
