"""The sample values of an opened image at full depth, for all modes."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin

from jaxseg.data.readers import tiff_tags

Source = bytes | pathlib.Path


class Unusable(ValueError):
    """The reason why a file cannot be used, without its name."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """The values of an image, upright.

    Attributes:
      format: "PNG", "JPEG" ...
      values: grey values or palette indices [H, W], or RGB [H, W, 3]; uint8, uint16 or int32.
      white: the value of white; 0 if the file defines none.
      alpha: opacity of each pixel from 0 to `white`, [H, W]; None without such a channel.
      palette: RGBA of each index, uint8 [N, 4]; None if the values are not indices.
      key: the transparent value, of one or three numbers; None if there is none.
      converted: the colour space of the file if it is not RGB, such as "CMYK"; else "".
      lossy: the compression that may have changed the values; "" for none.
      zero_is_white: whether 0 is white in the file; `values` are inverted, so that 0 is black.
      orientation: the EXIF tag by which the image was rotated, 1 to 8; 1: it was upright.
    """

    format: str
    values: np.ndarray
    white: int = 255
    alpha: np.ndarray | None = None
    palette: np.ndarray | None = None
    key: tuple[int, ...] | None = None
    converted: str = ""
    lossy: str = ""
    zero_is_white: bool = False
    orientation: int = 1


def _palette(image: Image.Image) -> np.ndarray:
    """RGBA of each index of the file's palette, uint8 [N, 4]."""
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.dstack([colours[None], np.full((1, len(colours), 1), 255, np.uint8)])[0]
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):
        palette[: len(clear), 3] = np.frombuffer(clear, np.uint8)[: len(palette)]
    elif clear is not None and clear < len(palette):
        palette[clear, 3] = 0
    return palette


def _key(image: Image.Image) -> tuple[int, ...] | None:
    """The transparent colour of a file without an alpha channel."""
    found = image.info.get("transparency")
    if found is None or isinstance(found, bytes):
        return None
    key = found if isinstance(found, tuple) else (found,)
    return tuple(min(int(part), 1) for part in key) if image.mode == "1" else key


def _grey(image: Image.Image, bits: int, inverted: bool) -> Samples:
    """Greyscale of 1 to 8 bits, which Pillow scales to 0 to 255, or inverts."""
    values = np.asarray(image).astype(np.uint8)
    if image.mode == "L" and bits < 8:
        values //= np.uint8(255 // (2**bits - 1))
    return Samples("", values, white=2**bits - 1, key=_key(image), zero_is_white=inverted)


def _wide_grey(image: Image.Image, bits: int, inverted: bool) -> Samples:
    """Greyscale of 12 or 16 bits."""
    values = np.asarray(image).astype(np.uint16)
    if inverted:
        values = np.uint16(2**bits - 1) - values
    return Samples("", values, white=2**bits - 1, key=_key(image), zero_is_white=inverted)


def _wide_colour(source: Source, page: int) -> Samples:
    """RGB of 16 bits per channel, read by OpenCV, since Pillow keeps only 8."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    buffer = np.frombuffer(data, np.uint8)
    if page:
        _, images = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
        found = images[0] if images else None
    else:
        found = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        raise Unusable("is truncated or damaged: OpenCV cannot decode its 16 bits")
    alpha = found[..., 3] if found.shape[2] == 4 else None
    values = np.ascontiguousarray(found[..., 2::-1])  # BGR(A) -> RGB
    return Samples("", values, white=65535, alpha=alpha)


def _indices(image: Image.Image) -> Samples:
    return Samples("", np.asarray(image), palette=_palette(image))


def _numbers(image: Image.Image) -> Samples:
    """Values of 32 bits, or signed values of 16 bits."""
    return Samples("", np.asarray(image).astype(np.int32), white=0)


def _colour(image: Image.Image) -> Samples:
    return Samples("", np.asarray(image), key=_key(image))


def _with_alpha(image: Image.Image) -> Samples:
    both = np.asarray(image.convert("LA" if image.mode in ("LA", "La") else "RGBA"))
    values = both[..., 0] if both.shape[2] == 2 else np.ascontiguousarray(both[..., :3])
    return Samples("", values, alpha=both[..., -1])


def _converted(image: Image.Image) -> Samples:
    return Samples("", np.asarray(image.convert("RGB")), converted=image.mode)


_BY_MODE: Mapping[str, Callable[[Image.Image], Samples]] = {
    "P": _indices,
    "I": _numbers,
    **dict.fromkeys(("RGB",), _colour),
    **dict.fromkeys(("RGBA", "RGBa", "LA", "La"), _with_alpha),
    **dict.fromkeys(("CMYK", "YCbCr"), _converted),
}
_REFUSED = {
    "F": "holds floating-point numbers, for which white (or the class) is not defined: "
    "save it with 8 or 16 bits",
    "LAB": "has CIELAB colours: save it as RGB",
    "PA": "has a palette and an alpha channel: save it as RGB with alpha",
}


def _check(image: Image.Image) -> None:
    """Raises on ambiguous files, of which Pillow would choose one interpretation.

    Raises:
      Unusable: the reason.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile) and (
        reason := tiff_tags.unusable(image.tag_v2)
    ):
        raise Unusable(reason)
    tile = image.tile[0] if isinstance(image, ImageFile.ImageFile) and image.tile else None
    if image.format == "GIF" and tile and tile[1] != (0, 0, *image.size):
        raise Unusable("is a GIF whose frame covers only part of its canvas: save it as PNG")
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        raise Unusable(
            "is a CMYK JPEG that does not say whether 0 means no ink or full ink (it lacks "
            "Adobe's marker): save it as RGB"
        )
    if image.format == "BMP" and tile and isinstance(tile[3], tuple) and tile[3][0] == "BGRX":
        assert isinstance(image, ImageFile.ImageFile)
        assert image.fp is not None
        image.fp.seek(tile[2])
        reserved = image.fp.read(4 * image.width * image.height)[3::4]
        if reserved.strip(reserved[:1]):
            raise Unusable(
                "is a BMP with four bytes per pixel, the fourth of which is reserved, but an "
                "alpha channel to some programs: save it as PNG"
            )
    if image.mode in _REFUSED:
        raise Unusable(_REFUSED[image.mode])


def samples(image: Image.Image, source: Source, page: int) -> Samples:
    """The values of the current page of an image, as rotated by its decoder.

    Args:
      image: opened, not yet decoded.
      source: from which it was opened.
      page: index of the image in the file, for a second decoder.

    Raises:
      Unusable: the reason.
    """
    _check(image)
    bits, inverted, lossy, wide = 8, False, "", False
    if isinstance(image, PngImagePlugin.PngImageFile) and image.tile:
        coding = str(image.tile[0][3])  # Pillow's, such as "L;4" or "RGB;16B"
        bits = int(coding.partition(";")[2].rstrip("B") or 8)
        wide = bits == 16 and image.mode in ("RGB", "RGBA")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        bits, inverted = tiff_tags.bits(tags), tiff_tags.zero_is_white(tags)
        lossy = tiff_tags.lossy(tags)
        wide = bits == 16 and tiff_tags.channels(tags) > 1
    elif image.format in ("JPEG", "MPO", "WEBP"):
        lossy = str(image.format)
    image.load()  # also if another decoder reads the values, since this detects truncated files
    if wide:
        found = _wide_colour(source, page)
    elif image.mode in ("1", "L"):
        found = _grey(image, 1 if image.mode == "1" else bits, inverted)
    elif image.mode.startswith("I;16"):
        found = _wide_grey(image, bits, inverted)
    elif image.mode in _BY_MODE:
        found = _BY_MODE[image.mode](image)
    else:
        raise Unusable(f"has pixels of mode {image.mode}: save it as greyscale or RGB")
    return dataclasses.replace(found, format=str(image.format), lossy=lossy)
