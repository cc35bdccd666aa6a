"""Drawn objects (shapes/instances): proposals by a small RPN on a pyramid (FPN, arXiv 1612.03144).

Expected: more recall than on a single map, above all of small objects (Table 1). Measured: see
docs/ablations.md.

    python -m jaxseg.data.prepare --name=shapes/instances
    python -m jaxseg.main --config=experiments/fpn/shapes.py --workdir=runs/fpn_shapes
"""

from experiments.bases import small_instances
from jaxseg import config


def get_config() -> config.Experiment:
    """30 proposals of an image, which has 5 objects on average."""
    return small_instances.proposals(steps=400)
