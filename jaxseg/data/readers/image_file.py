"""Decodes image files to the values that they hold, upright, or raises with the reason.

One function opens all image and mask files, for preparation, training, evaluation and prediction.
`pixels` converts the values to RGB, `mask_file` to ids. docs/images_and_masks.md has a table of the
rules.
"""

import contextlib
import dataclasses
import io
import itertools
import pathlib
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from jaxseg.data.readers import image_samples, tiff_tags
from jaxseg.data.readers.image_limit import limit
from jaxseg.data.readers.image_samples import Samples, Source, Unusable
from jaxseg.errors import counted

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")  # JPEG: including the MPO files of phones
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"RIFF")

warnings.filterwarnings("ignore", module=r"PIL\.")  # warnings about odd tags and large sizes


def check_size(height: int, width: int) -> None:
    """Raises Unusable if the image has so many pixels that decoding it could exhaust the memory."""
    if limit() and height * width > limit():
        raise Unusable(
            f"has {width} x {height} pixels, more than --max_image_pixels={limit()} allows; if you "
            "trust the file, raise that (0: no limit)"
        )


def turn(values: np.ndarray, orientation: int) -> np.ndarray:
    """Rotates stored rows and columns [H, W, ...] as the EXIF tag says.

    Values that the standard does not define leave the image unchanged, as in viewers.
    """
    transposed = values.swapaxes(0, 1)
    upright = {
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: transposed,
        6: transposed[:, ::-1],
        7: transposed[::-1, ::-1],
        8: transposed[::-1],
    }.get(orientation, values)
    return np.ascontiguousarray(upright)


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """Opens a file and reads its header.

    Raises:
      Unusable: the reason why it cannot be opened.
    """
    if isinstance(source, bytes):
        with _header(io.BytesIO(source)) as image:
            yield image
        return
    try:
        # Pillow may memory-map a file that it opens by name, and then forgets to rotate it.
        file = source.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        raise Unusable("is missing") from None
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from None
    with file, _header(file) as image:
        yield image


def _header(file: BinaryIO) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = (
        limit() or None
    )  # Pillow refuses more than twice as many, `check_size` the rest
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        if found := tiff_tags.described(file):
            raise Unusable(
                f"{found}, which is not supported: save it as greyscale or RGB of 8 or 16 bits"
            ) from None
        file.seek(0)
        if file.read(4).startswith(_MAGIC):
            raise Unusable("is truncated or damaged: its header cannot be read") from None
        raise Unusable(f"is not an image in a supported format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise Unusable(
            f"has more than twice the pixels that --max_image_pixels={limit()} allows; if you "
            "trust the file, raise that (0: no limit)"
        ) from None
    except Exception as error:  # the decoder may raise anything for damaged files
        raise Unusable(f"is truncated or damaged: {error}") from None


def _pages(image: Image.Image) -> Iterator[int]:
    """The frames that are images: no thumbnails, no secondary views of a phone."""
    if image.format == "MPO":
        yield 0
        return
    for frame in range(getattr(image, "n_frames", 1)):
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            image.seek(frame)
            if tiff_tags.is_part(image.tag_v2):
                continue
        yield frame


def _seek(image: Image.Image, page: int | None) -> int:
    """Seeks a page and returns its frame.

    Raises:
      Unusable: there is no such page, or no page is named and there are several.
    """
    frames = list(itertools.islice(_pages(image), None if page is None else page + 1))
    if page is None and len(frames) > 1:
        tiff = image.format == "TIFF"
        what = f"holds {len(frames)} pages" if tiff else f"is an animation of {len(frames)} frames"
        raise Unusable(
            f"{what}, but an example is one image: save each {'page' if tiff else 'frame'} that "
            "you need as a separate file"
        )
    if (page or 0) >= len(frames):
        raise Unusable(f"is missing: the file holds {counted(len(frames), 'page')}")
    image.seek(frames[page or 0])
    return frames[page or 0]


def pages(path: pathlib.Path) -> int:
    """The number of images in a file; 0 if it cannot be opened."""
    try:
        with _opened(path) as image:
            return len(list(_pages(image)))
    except Exception:  # the decoder may raise anything for damaged files
        return 0


def _tag(image: Image.Image) -> int:
    """The orientation; 1 if there is none or the standard does not define it."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the parser may raise anything for damaged tags
        return 1
    return int(found) if found in range(1, 9) else 1


def orientation(source: Source) -> int:
    """The EXIF orientation by which an image is rotated, 1 to 8; 1 also for unreadable files."""
    try:
        with _opened(source) as image:
            return _tag(image)
    except ValueError:
        return 1


def check_whole(data: bytes) -> None:
    """Decodes an image completely with a decoder that detects truncated files.

    Raises:
      Unusable: the file is truncated, or the image is too large.
    """
    with _opened(data) as image:
        check_size(image.height, image.width)
        try:
            image.load()
        except Exception as error:  # the decoder may raise anything for damaged files
            raise Unusable(f"is truncated or damaged: {error}") from None


def read(source: Source, page: int | None = None) -> Samples:
    """The values of an image, or of one of its pages.

    Args:
      source: the file, or its bytes.
      page: of the file, from 0; None: it must hold one.

    Raises:
      Unusable: the reason, a ValueError without the file's name.
    """
    with _opened(source) as image:
        try:
            frame = _seek(image, page)
            check_size(image.height, image.width)
            tag = _tag(image) if image.format == "TIFF" else 0  # decoding deletes the tag
            samples = image_samples.samples(image, source, frame)
            tag = tag or _tag(image)  # this decodes a PNG, so it must come after
        except Unusable:
            raise
        except Exception as error:  # the decoder may raise anything for damaged files
            raise Unusable(f"is truncated or damaged: {error}") from None
    if tag > 1 and samples.format != "TIFF":  # TIFF files were rotated by their decoder
        alpha = None if samples.alpha is None else turn(samples.alpha, tag)
        samples = dataclasses.replace(samples, values=turn(samples.values, tag), alpha=alpha)
    return dataclasses.replace(samples, orientation=tag)
