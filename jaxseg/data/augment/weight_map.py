"""U-Net's weight map: background between two nearby objects gets a larger weight."""

import math

import cv2
import numpy as np

from jaxseg.ignore import IGNORE

BACKGROUND = 0  # the train id between objects
_REACH = 6  # standard deviations, beyond which exp(-d^2 / 2) is below 2e-8


def boundary_weights(label: np.ndarray, *, weight: float, sigma: float) -> np.ndarray:
    """w0 exp(-(d1 + d2)^2 / (2 sigma^2)) at each background pixel, 0 elsewhere.

    d1 and d2 are the distances to the nearest and to the second nearest object: Ronneberger et al.,
    U-Net (arXiv 1505.04597), equation 2, with w0 = 10 and sigma about 5 pixels. An object is a
    connected component (including diagonal neighbours) of a class other than BACKGROUND. The class
    weight of the equation is that of the loss (`config.Loss.class_weights`).

    Unsure: the paper states the map for all pixels, so that inside an object d1 would be the
      distance to the object's own border. Here the map is 0 there, since its purpose is the
      separating background.

    Args:
      label: uint8 [H, W] train ids, IGNORE where void.
      weight: w0.
      sigma: in pixels.

    Returns:
      float32 [H, W].
    """
    reach = math.ceil(_REACH * sigma)
    nearest = np.full(label.shape, np.inf, np.float32)
    second = nearest.copy()
    for train_id in np.unique(label):
        if train_id in (BACKGROUND, IGNORE):
            continue
        mask = (label == train_id).astype(np.uint8)
        count, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for piece in range(1, count):
            left, top, width, height = boxes[piece][:4]
            around = (
                slice(max(0, top - reach), top + height + reach),
                slice(max(0, left - reach), left + width + reach),
            )
            outside = (pieces[around] != piece).astype(np.uint8)
            distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            # Its last bit depends on the memory alignment of the map; its square is an integer.
            distance = np.sqrt(np.rint(distance**2))
            first = nearest[around]
            second[around] = np.minimum(second[around], np.maximum(first, distance))
            nearest[around] = np.minimum(first, distance)
    weights = weight * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return np.where(label == BACKGROUND, weights, 0).astype(np.float32)
