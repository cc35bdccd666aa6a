"""The recipe whose runs are compared with torchvision's."""

import jax

from experiments.mask_rcnn import penn_fudan_small
from jaxseg.shape_trace import trace_shapes


def test_the_network_has_the_parameters_of_its_twin_in_torchvision():
    experiment = penn_fudan_small.get_config()
    _, variables = trace_shapes(experiment.model, experiment.data.crop_size)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 12_385_691
