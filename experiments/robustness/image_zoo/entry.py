"""An entry of the zoo, and the pictures stored in its files."""

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_RNG = np.random.default_rng(20)
NOISE = _RNG.integers(0, 256, (13, 21, 3), dtype=np.uint8)  # no two rows or columns are equal
WIDE = _RNG.integers(0, 65536, (13, 21, 3), dtype=np.uint16)
ALPHA = _RNG.integers(0, 256, (13, 21), dtype=np.uint8)
SHAPE = np.where(np.add.outer(np.arange(13), np.arange(21)) % 3 == 0, 0, 255).astype(np.uint8)
# For JPEG: flat blocks, which lose only the rounding of colours.
WIDE_ALPHA = ALPHA.astype(np.uint16) * 257
PALETTE = _RNG.integers(0, 256, (256, 3), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BLOCKS = _RNG.integers(30, 226, (2, 3, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
IDS = _RNG.integers(0, 4, (13, 21), dtype=np.uint8)
COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 128, 0): 2, (1, 2, 3): 3}  # of a mask by colours


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file with its expected contents or refusal.

    Attributes:
      name: of the file; its stem is unique in the zoo.
      data: its content.
      right: the expected pixels, uint8 [H, W, 3], or ids [H, W]; or words of the refusal.
      off: the tolerance per pixel, for lossy formats.
      colours: the mask is encoded by COLOURS.
      page: the page to read; None if none is requested.
    """

    name: str
    data: bytes
    right: np.ndarray | str
    off: int = 0
    colours: bool = False
    page: int | None = None


def saved(values: np.ndarray | Image.Image, kind: str, options: Mapping[str, Any] = {}) -> bytes:
    """The file that Pillow writes."""
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(values: np.ndarray) -> np.ndarray:
    """Grey values as RGB."""
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """8-bit colours with 8-bit opacity composited on white, in integer arithmetic."""
    c, a = colours.astype(int), alpha.astype(int)[..., None]
    return ((c * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def to_eight(values: np.ndarray, white: int) -> np.ndarray:
    """Rounds to the nearest 8-bit value."""
    return np.rint(values.astype(np.float64) * 255 / white).astype(np.uint8)


def turned(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The image as a camera stores it, so that the orientation tag restores it.

    EXIF 2.32, table of the tag Orientation: where the 0th row and the 0th column of the stored
    image lie in the displayed image.
    """
    down, right = upright, upright.transpose(1, 0, *range(2, upright.ndim))
    stored = {
        2: down[:, ::-1],  # the 0th column is the right side
        3: down[::-1, ::-1],  # the 0th row is the bottom, the 0th column the right side
        4: down[::-1],
        5: right,  # the 0th row is the left side, the 0th column the top
        6: right[::-1],  # the 0th row is the right side, the 0th column the top
        7: right[::-1, ::-1],  # the 0th row is the right side, the 0th column the bottom
        8: right[:, ::-1],  # the 0th row is the left side, the 0th column the bottom
    }
    return np.ascontiguousarray(stored.get(orientation, down))


def inks_as_rgb(inks: np.ndarray) -> np.ndarray:
    """C, M, Y, K from 0 to 255, each the share of white that is removed, as RGB."""
    wide = inks.astype(float)
    return np.rint((255 - wide[..., :3]) * (255 - wide[..., 3:]) / 255).astype(np.uint8)


def oriented(tag: int) -> Image.Exif:
    """EXIF data with an orientation tag."""
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif
