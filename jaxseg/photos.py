"""Image files as they come from cameras and scanners -> uint8 RGB; which files a folder holds."""

import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")  # JPEG: also the MPO that phones write
_SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")


class Photo(NamedTuple):
    """A file to predict and the name of what is written for it, without a suffix."""

    file: pathlib.Path
    name: str
    renamed: bool = False  # the plain name is another file's too


def read(path: pathlib.Path) -> np.ndarray:
    """One image, turned as its EXIF orientation says, uint8 RGB [H, W, 3].

    Grey, palette, CMYK and 16-bit images are converted (65535 becomes 255), transparent parts are
    laid on white, of several pages the first is taken.

    Raises:
      ValueError: no image, truncated, or of a kind that has no defined white (float); the message
        is the reason, without the file's name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd tags and large sizes
            with Image.open(path, formats=FORMATS) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
                reason = _undefined(image)
                if reason is None:
                    return _rgb(image)
    except UnidentifiedImageError:
        raise ValueError(f"no image of a known kind ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels: {error}") from None
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except Exception as error:  # of damaged files, whatever the decoder stumbles over
        raise ValueError(f"truncated or damaged: {error}") from None
    raise ValueError(reason)


def _undefined(image: Image.Image) -> str | None:
    """Why it cannot be said which of its values is white."""
    if image.mode == "F":
        return "pixels are floating-point numbers: save it with 8 or 16 bits"
    if image.mode in _SIXTEEN_BIT:
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            return "pixels have over 16 bits: save it with 8 or 16 bits"
    return None


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in _SIXTEEN_BIT:
        wide = np.asarray(image).astype(np.int64)
        grey = np.rint(wide / 257).astype(np.uint8)  # 65535 = 257 * 255
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def find(
    inputs: Sequence[str | pathlib.Path], *, without: pathlib.Path | None = None
) -> list[Photo]:
    """The image files among `inputs`, folders searched in depth, sorted; each with its own name.

    A file given by itself keeps its name, one found in a folder its path inside that folder. Where
    two would share a name (a.jpg and a.png are both "a"), their suffixes stay ("a.jpg", "a.png");
    where that is not enough, a number is added.

    Args:
      inputs: files, taken whatever their suffix, or folders, searched for the suffixes above.
      without: a folder that is not searched: the output, when it lies inside an input.

    Raises:
      FileNotFoundError: an input does not exist.
      ValueError: there is no image in any of them.
    """
    found: dict[pathlib.Path, pathlib.PurePath] = {}  # file -> its path inside its input
    for given in map(pathlib.Path, inputs):
        if given.is_dir():
            for path in sorted(given.rglob("*")):
                inside = without is not None and path.resolve().is_relative_to(without.resolve())
                if path.suffix.lower() in SUFFIXES and path.is_file() and not inside:
                    found.setdefault(path, path.relative_to(given))
        elif given.exists():
            found.setdefault(given, pathlib.PurePath(given.name))
        else:
            raise FileNotFoundError(f"{given}: no such file or folder")
    if not found:
        if not inputs:
            raise ValueError("no image is given: name files or folders (--inputs=FOLDER)")
        where = ", ".join(map(str, inputs))
        raise ValueError(f"no image in {where}: looked for {' '.join(SUFFIXES)}")
    return _named(found)


def _named(found: dict[pathlib.Path, pathlib.PurePath]) -> list[Photo]:
    """A name of its own for each file; letter case does not tell two names apart."""
    plain = [relative.with_suffix("").as_posix() for relative in found.values()]
    folded = [name.casefold() for name in plain]
    taken: set[str] = {name for name in folded if folded.count(name) == 1}
    photos = []
    for (path, relative), name in zip(found.items(), plain, strict=True):
        renamed = folded.count(name.casefold()) > 1
        if renamed:
            base, number = relative.as_posix(), 2
            name = base
            while name.casefold() in taken:
                name, number = f"{base}_{number}", number + 1
            taken.add(name.casefold())
        photos.append(Photo(path, name, renamed))
    return photos
