"""Weights and standard deviations of the fully connected CRF, with the published sets."""

import dataclasses
import functools
import math

import jax

from jaxseg.types import Number


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("w1", "theta_alpha", "theta_beta", "w2", "theta_gamma"),
    meta_fields=("iterations",),
)
@dataclasses.dataclass(frozen=True)
class CRFParameters:
    """Weights and standard deviations of both kernels; arrays if they are learned.

    As a pytree, its leaves are all fields except `iterations`.
    """

    w1: Number  # weight of the appearance kernel
    theta_alpha: Number  # in pixels
    theta_beta: Number  # of colours in 0..255
    w2: Number  # weight of the smoothness kernel
    theta_gamma: Number  # in pixels
    iterations: int


PARAMETERS = {
    # run_densecrf.sh of DeepLab v1's vgg128_noup. The paper fixes w2 = theta_gamma = 3, searches
    # w1 in 5..10, theta_alpha in 50..100 and theta_beta in 3..10, and iterates 10 times.
    "deeplab_v1": CRFParameters(5, 50, 3, 3, 3, 10),
    # voc2012/run_densecrf.sh of DeepLab v2; the paper's search: w1 in 3..6, theta_alpha in 30..100,
    # theta_beta in 3..6.
    "deeplab_v2": CRFParameters(4, 49, 5, 3, 3, 10),
    # configs/voc12.yaml of kazuto1011/deeplab-pytorch, DeepLab v2 on ResNet-101.
    "kazuto": CRFParameters(4, 67, 3, 3, 1, 10),
    # The published inference script of DeconvNet.
    "deconvnet": CRFParameters(5, 20, 3, 3, 3, 10),
    # The example in pydensecrf's README.
    "pydensecrf": CRFParameters(10, 80, 13, 3, 3, 5),
}


def read(text: str) -> CRFParameters | None:
    """Returns the parameters that `eval.crf` names, or None if it is empty.

    Raises:
      ValueError: `text` is neither a name nor six numbers.
    """
    if not text:
        return None
    if text in PARAMETERS:
        return PARAMETERS[text]
    try:
        *kernels, iterations = map(float, text.split(","))
        w1, theta_alpha, theta_beta, w2, theta_gamma = kernels
        steps = int(iterations)
        if not all(map(math.isfinite, kernels)):
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(
            f"eval.crf={text!r} must be one of {', '.join(PARAMETERS)}, or six numbers "
            "w1,theta_alpha,theta_beta,w2,theta_gamma,iterations"
        ) from None
    return CRFParameters(w1, theta_alpha, theta_beta, w2, theta_gamma, steps)
