"""The one image reader: preparation, training, evaluation and prediction see the same pixels.

The rules, each stated once:

- Decoder: OpenCV for plain files (`image_headers`) and for colours of 16 bits, Pillow for all
  others. The same bytes are decoded by the same decoder, whoever asks.
- Orientation: the image is turned as its EXIF tag says; undefined numbers leave it as it is.
- Depth: a number v, of which `white` is the largest, becomes round(255 v / white). White is
  2**bits - 1, so 65535 for 16 bits; of 1, 2, 4 and 8 bits nothing is rounded.
- Alpha: an opacity a of 0 to 255 lays a colour c on white, (a c + 255 (255 - a) + 127) // 255, both
  brought to 8 bits before. Transparent palette entries and colours (tRNS) are laid on it too.
- Grey is repeated. CMYK and YCCK become RGB by (255 - C)(255 - K) / 255, as Pillow rounds it.
- Colour profiles (ICC, gAMA, cICP) are not applied: the numbers are those of the file.
- One file is one image: of phones' MPO the first; animations, and TIFF files of several pages where
  nobody says which page is meant, are refused.

What preparation stores (`stored`) decodes to exactly what `read_image` gives for the original file.
"""

import pathlib
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.readers import image_file, image_headers
from jaxseg.data.readers.image_samples import Samples, Unusable

GROUND = 255  # grey value of the ground under transparent parts: white
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # `image_file.turn` follows the tag


class Picture(NamedTuple):
    """An image, upright.

    Attributes:
      pixels: RGB, uint8 [H, W, 3].
      orientation: the EXIF tag by which it was turned, 1 to 8; 1: it was upright.
    """

    pixels: np.ndarray
    orientation: int


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    """0 ... white -> 0 ... 255, the nearest; `white` is odd, so that no two are equally near."""
    if white == 255:
        return values
    wide = values.astype(np.uint32)
    return ((510 * wide + white) // (2 * white)).astype(np.uint8)


def rgb(samples: Samples) -> np.ndarray:
    """What the numbers of an image look like, uint8 [H, W, 3].

    Raises:
      Unusable: the reason.
    """
    values = samples.values
    if samples.white == 0:
        raise Unusable(
            "has numbers of 32 bits, or with a sign, of which it is not defined what is white: "
            "save it with 8 or 16 bits"
        )
    alpha = samples.alpha
    if samples.palette is not None:
        if values.max(initial=0) >= len(samples.palette):
            raise Unusable(
                f"holds the palette index {values.max()}, its palette has "
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
    """The bytes of an image file -> RGB uint8 [H, W, 3], by the rules above.

    A file that ends too early is not noticed in every case: `read` notices.

    Raises:
      Unusable: the reason, a ValueError.
    """
    found = image_headers.plain(data)
    return rgb(image_file.read(data)) if found is None else _plain(data, found).pixels


def _bytes(path: pathlib.Path) -> bytes:
    """The content of a file that may be plain; nothing of any other.

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
    """An image file, decoded to its last row, by the rules above.

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
    """What is kept of an image: a plain file as published, of any other a PNG of its pixels.

    Raises:
      Unusable: as `read`; of a plain file only where it is missing.
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
