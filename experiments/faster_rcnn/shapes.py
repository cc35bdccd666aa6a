"""Drawn objects (shapes/instances) with a small Faster R-CNN (arXiv 1506.01497) on a pyramid.

Expected: that objects which touch or overlap are told apart. Measured: not yet.

    python -m jaxseg.data.prepare --name=shapes/instances
    python -m jaxseg.main --config=experiments/faster_rcnn/shapes.py --workdir=runs/faster_rcnn
"""

from experiments.bases import small_instances
from jaxseg import config


def get_config() -> config.Experiment:
    """The narrow pyramid of the tables, without masks."""
    return small_instances.boxes(steps=600)
