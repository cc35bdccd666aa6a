"""Rotation and elastic deformation of an image and its label.

Each pixel of the view is looked up in the original in one step that combines displacement, rotation
and scale, so that the image is interpolated only once (bilinearly); the label is that of the pixel
whose square contains the point. Positions are pixel centres, as in `transforms`.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from jaxseg.ignore import IGNORE

NODES = 3  # per axis of the grid of displacement vectors
_INT16 = (-(1 << 15), (1 << 15) - 1)  # the range in which OpenCV stores integer positions
BORDERS = {
    "mean": cv2.BORDER_CONSTANT,
    "zero": cv2.BORDER_CONSTANT,
    "mirror": cv2.BORDER_REFLECT_101,
}


def displacements(vectors: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """Smooth displacements of each pixel: the elastic deformation of U-Net.

    Ronneberger et al. (arXiv 1505.04597), section 3: vectors on a coarse 3 x 3 grid with bicubic
    interpolation between them. Unsure: the paper does not say where the grid lies; here each vector
    is at the centre of a ninth of the view, and the outer ones are constant up to its border.

    Args:
      vectors: 3 x 3 x (down, right), in pixels, row by row.
      size: (height, width) of the view.

    Returns:
      float32 [h, w, 2].
    """
    grid = np.reshape(np.asarray(vectors, np.float32), (NODES, NODES, 2))
    return cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)


def positions(
    view: tuple[int, int, int, int],
    image_size: tuple[int, int],
    *,
    scale: float,
    angle: float,
    vectors: Sequence[float] = (),
    margin: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The position of each pixel of a view in the original.

    The image is scaled, rotated about its centre counter-clockwise, and cropped; a pixel with a
    displacement shows what lies at that distance from it.

    Args:
      view: (top, left, height, width) in pixels of the scaled image.
      image_size: (height, width) of the original.
      scale: of the image.
      angle: in degrees.
      vectors: see `displacements`; none: no deformation.
      margin: width of an additional border around the view, in pixels.

    Returns:
      Rows and columns of the original, each float32 [h + 2 margin, w + 2 margin].
    """
    top, left, height, width = view
    middle = [(side - 1) / 2 for side in image_size]
    # From the middle of the image, in its pixels; scaled by s, pixel d lies at (d + 0.5) / s - 0.5.
    down = (np.arange(-margin, height + margin) + top + 0.5) / scale - 0.5 - middle[0]
    right = (np.arange(-margin, width + margin) + left + 0.5) / scale - 0.5 - middle[1]
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def turned(down: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
        parts = (cosine * down, sine * right), (-sine * down, cosine * right)
        return [np.add(*(part.astype(np.float32) for part in pair)) for pair in parts]

    at = turned(down[:, None], right[None, :])
    for axis in (0, 1):
        at[axis] += np.float32(middle[axis])
    if len(vectors):
        bent = displacements(vectors, (height, width))
        wide = np.asarray(cv2.copyMakeBorder(bent, *(margin,) * 4, cv2.BORDER_REPLICATE)) / scale
        for axis, part in enumerate(turned(wide[..., 0], wide[..., 1])):
            at[axis] += part
    return at[0], at[1]


def look_up_image(
    image: np.ndarray,
    at: tuple[np.ndarray, np.ndarray],
    *,
    colour: tuple[int, int, int],
    border: str,
) -> np.ndarray:
    """The image at `positions`.

    Args:
      image: uint8 [H, W, 3].
      at: rows and columns, each [h, w].
      colour: beyond the image, unless it is mirrored.
      border: "mirror": the image is mirrored at the centres of its outer pixels; or "mean", "zero".

    Returns:
      uint8 [h, w, 3].
    """
    rows, columns = at
    mode = BORDERS[border]
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=mode, borderValue=colour)


def look_up_label(
    label: np.ndarray, at: tuple[np.ndarray, np.ndarray], *, border: str, margin: int = 0
) -> np.ndarray:
    """The label at `positions` without their margin: that of the pixel whose square has the point.

    Args:
      label: uint8 [H, W].
      at: rows and columns, each [h + 2 margin, w + 2 margin].
      border: as for `look_up_image`; unless mirrored, the label beyond the image is void.
      margin: in pixels of the view.

    Returns:
      uint8 [h, w].
    """
    rows, columns = at
    inside = tuple(slice(margin, side - margin) for side in rows.shape)
    nearest = np.empty((*rows[inside].shape, 2), np.int16)  # (x, y)
    for axis, values in enumerate((columns, rows)):
        nearest[..., axis] = np.floor(values[inside] + np.float32(0.5)).clip(*_INT16)
    none = np.empty(0, np.uint16)  # no fractions, since positions are integers
    mode = BORDERS[border]
    return cv2.remap(label, nearest, none, cv2.INTER_NEAREST, borderMode=mode, borderValue=[IGNORE])
