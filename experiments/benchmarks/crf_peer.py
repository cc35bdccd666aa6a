"""pydensecrf2, the authors' C++ code, called like our CRF (requirements/other_libraries.txt)."""

import jax
import numpy as np

from jaxseg.postprocess.crf import CRFParameters


def energies(logits: np.ndarray) -> np.ndarray:
    """pydensecrf2's unary energies, float32 [K, H W], of logits or log-probabilities [H, W, K]."""
    classes = logits.shape[-1]
    unary = -np.asarray(jax.nn.log_softmax(logits)).transpose(2, 0, 1)
    return np.ascontiguousarray(unary.reshape(classes, -1), np.float32)


def mean_field(unary: np.ndarray, image: np.ndarray, parameters: CRFParameters) -> np.ndarray:
    """pydensecrf2's Q [H, W, K], with symmetric normalisation.

    Args:
      unary: from `energies`.
      image: uint8 [H, W, 3].
      parameters: of the CRF, including the number of iterations.
    """
    from pydensecrf import densecrf

    p, (height, width, _) = parameters, image.shape
    model = densecrf.DenseCRF2D(width, height, len(unary))
    model.setUnaryEnergy(unary)
    model.addPairwiseGaussian(sxy=p.theta_gamma, compat=p.w2)
    model.addPairwiseBilateral(sxy=p.theta_alpha, srgb=p.theta_beta, rgbim=image, compat=p.w1)
    q = np.array(model.inference(p.iterations))
    return q.reshape(-1, height, width).transpose(1, 2, 0)
