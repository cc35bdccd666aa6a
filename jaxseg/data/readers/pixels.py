"""The image reader: preparation, training, evaluation and prediction see the same pixels.

The rules are:

- Decoder: OpenCV for plain files (`image_headers`) and for colours of 16 bits, Pillow for all
  others. The same bytes are always decoded by the same decoder.
- Orientation: the image is rotated as its EXIF tag says; undefined values are ignored.
- Depth: a value v becomes round(255 v / white), where white is the largest value, 2**bits - 1:
  65535 for 16 bits. For 1, 2, 4 and 8 bits nothing is rounded.
- Alpha: a colour c with opacity a, 0 to 255, is composited on white: (a c + 255 (255 - a) + 127) //
  255, after both are converted to 8 bits. So are transparent palette entries and colours (tRNS).
- Grey is repeated for red, green and blue. CMYK and YCCK become RGB by (255 - C)(255 - K) / 255, as
  Pillow rounds it.
- Colour profiles (ICC, gAMA, cICP) are not applied.
- One file is one image: the first of a phone's MPO file.

Animations, and TIFF files of several pages without a page number, are refused. What preparation
stores (`stored`) decodes to exactly what `read_image` returns for the original file.
"""

import pathlib
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.readers import image_file, image_headers
from jaxseg.data.readers.image_samples import Samples, Unusable

GROUND = 255  # grey value behind transparent parts: white
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # `image_file.turn` follows the tag


class Picture(NamedTuple):
    """An image, upright.

    Attributes:
      pixels: RGB, uint8 [H, W, 3].
      orientation: the EXIF tag by which it was rotated, 1 to 8; 1: it was upright.
    """

    pixels: np.ndarray
    orientation: int


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    """0 ... white -> 0 ... 255, rounded to nearest; there are no ties, since `white` is odd."""
    if white == 255:
        return values
    wide = values.astype(np.uint32)
    return ((510 * wide + white) // (2 * white)).astype(np.uint8)


def rgb(samples: Samples) -> np.ndarray:
    """The colours of the values of an image, uint8 [H, W, 3].

    Raises:
      Unusable: the reason.
    """
    values = samples.values
    if samples.white == 0:
        raise Unusable(
            "has 32-bit or signed numbers, for which white is not defined: save it with 8 or 16 "
            "bits"
        )
    alpha = samples.alpha
    if samples.palette is not None:
        if values.max(initial=0) >= len(samples.palette):
            raise Unusable(
                f"holds the palette index {values.max()}, but its palette has "
                f"{len(samples.palette)} colours: save it as RGB"
            )
        coloured = samples.palette[values]  # [H, W, 4]
        values, alpha = coloured[..., :3], coloured[..., 3]
    elif samples.key is not None and alpha is None:
        same = values == np.array(samples.key)
        alpha = np.where(same if values.ndim == 2 else same.all(-1), 0, samples.white)
    colours = _scaled(values, samples.white)
    if colours.ndim == 2:
        colours = np.repeat(colours[..., None], 3, axis=2)
    if alpha is not None and (alpha < samples.white).any():
        opacity = _scaled(alpha, samples.white).astype(np.uint16)[..., None]
        laid = opacity * colours + (255 - opacity) * np.uint16(GROUND)  # at most 255 * 255
        colours = ((laid + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(colours)


def _plain(data: bytes, found: image_headers.Plain) -> Picture:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    if image is None or image.shape[:2] != found[:2]:
        raise Unusable("is truncated or damaged: OpenCV cannot decode it")
    tag = image_file.orientation(data) if found.tagged else 1
    return Picture(image if tag == 1 else image_file.turn(image, tag), tag)


def decode(data: bytes) -> np.ndarray:
    """Decodes the bytes of an image file to RGB uint8 [H, W, 3], by the rules above.

    A truncated file is not always detected; `read` always detects it.

    Raises:
      Unusable: the reason, a ValueError.
    """
    found = image_headers.plain(data)
    return rgb(image_file.read(data)) if found is None else _plain(data, found).pixels


def _bytes(path: pathlib.Path) -> bytes:
    """The content of a file that may be plain; b"" for any other file.

    Raises:
      Unusable: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(image_headers.PNG))
            if not start.startswith((image_headers.PNG, b"\xff\xd8")):
                return b""
            file.seek(0)
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        raise Unusable("is missing") from None
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from None


def read(path: pathlib.Path, page: int | None = None) -> Picture:
    """Decodes an image file completely, by the rules above.

    Args:
      path: the file.
      page: of it, from 0; None: it must hold one image.

    Raises:
      Unusable: the reason, a ValueError without the file's name.
    """
    data = _bytes(path)
    found = image_headers.plain(data)
    if found is None or page:
        samples = image_file.read(data or path, page)
        return Picture(rgb(samples), samples.orientation)
    image_file.check_size(found.height, found.width)
    image_file.check_whole(data)
    return _plain(data, found)


def read_image(path: pathlib.Path, page: int | None = None) -> np.ndarray:
    """The pixels of `read`, RGB uint8 [H, W, 3]."""
    return read(path, page).pixels


def stored(path: pathlib.Path, page: int | None = None) -> bytes:
    """The stored form of an image: a plain file unchanged; for any other, a PNG of its pixels.

    Raises:
      Unusable: like `read`; for a plain file only if it is missing.
    """
    data = _bytes(path)
    if not page and image_headers.plain(data) is not None:
        return data
    return encode(rgb(image_file.read(data or path, page)))


def encode(image: np.ndarray) -> bytes:
    """An RGB image, uint8 [H, W, 3], as a PNG, which is plain."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"cannot write a PNG of {image.dtype} {image.shape}")
    return data.tobytes()
