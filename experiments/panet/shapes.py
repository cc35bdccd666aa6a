"""Drawn objects (shapes/instances) with a small PANet (arXiv 1803.01534).

Expected: at least the mask AP of the same network without its components. Measured: not yet.

    python -m jaxseg.data.prepare --name=shapes/instances
    python -m jaxseg.main --config=experiments/panet/shapes.py --workdir=runs/panet_shapes
"""

from experiments.bases import small_instances
from jaxseg import config


def get_config() -> config.Experiment:
    """Path, pooling, fusion and the heavier head on a narrow pyramid."""
    return small_instances.path_aggregation(steps=600)
