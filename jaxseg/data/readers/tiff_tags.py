"""Interprets the tags of a TIFF file, or explains why its values cannot be interpreted.

Numbers and names are those of TIFF 6.0 (Adobe, 1992), sections 8, 18, 19 and 20.
"""

from collections.abc import Mapping
from typing import Any, BinaryIO

from PIL import TiffImagePlugin

from jaxseg.errors import counted

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 258, 259, 262, 277
_PLANAR, _EXTRA, _FORMAT, _SUBSAMPLING = 284, 338, 339, 530
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # photometric interpretation -> channels
_ALPHA = (1, 2)  # kinds of extra channels: premultiplied, and not
LOSSY = {
    **dict.fromkeys((6, 7, 34892), "JPEG"),
    **dict.fromkeys((34712, 33003, 33005), "JPEG 2000"),
    **dict.fromkeys((34887,), "LERC"),
    **dict.fromkeys((50001,), "WEBP"),
    **dict.fromkeys((22610, 48129), "JPEG XR"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}  # compression -> name
Tags = Mapping[int, Any]


def is_part(tags: Tags) -> bool:
    """Whether a page is a smaller copy or a transparency mask of another, not an image itself."""
    return bool(tags.get(_SUBFILE, 0) & (_REDUCED | _MASK))


def bits(tags: Tags) -> int:
    """Bits per channel; the maximum if channels differ."""
    return max(tags.get(_BITS, (1,)))


def channels(tags: Tags) -> int:
    """Number of values per pixel."""
    return int(tags.get(_SAMPLES, 1))


def zero_is_white(tags: Tags) -> bool:
    """Whether larger grey values are darker."""
    return tags.get(_PHOTOMETRIC, 0) == 0


def premultiplied(tags: Tags) -> bool:
    """Whether colours are stored multiplied by their alpha."""
    return tags.get(_EXTRA, ()) == (1,)


def lossy(tags: Tags) -> str:
    """The name of a lossy compression; "" if there is none."""
    return LOSSY.get(tags.get(_COMPRESSION, 1), "")


def unusable(tags: Tags) -> str:
    """Why Pillow's reading of a page cannot be trusted, without the file's name; "" if it can."""
    kind, count, extra = tags.get(_PHOTOMETRIC, 0), channels(tags), tags.get(_EXTRA, ())
    colours = _COLOURS.get(kind, count)
    if count > colours and not (count == colours + 1 and len(extra) == 1 and extra[0] in _ALPHA):
        few = "grey" if colours == 1 else "red, green, blue" if colours == 3 else "ink"
        return (
            f"has {count} channels, of which only {colours} ({few}) are known: save only the "
            "channels that you need (or mark the last as alpha)"
        )
    if bits(tags) == 8 and 2 in tags.get(_FORMAT, (1,)):
        return "has signed numbers of 8 bits: save them as unsigned numbers"
    if kind == 5 and (bits(tags) > 8 or count > 4):
        return f"is CMYK with {count} channels of {bits(tags)} bits: save it as RGB"
    if count > colours > 1 and bits(tags) > 8 and premultiplied(tags):
        return "has 16-bit colours with premultiplied alpha: save it with straight alpha"
    planar = tags.get(_PLANAR, 1) == 2 and count > 1
    if planar and (bits(tags) > 8 or colours == 1):
        return (
            f"has {count} separate channels of {bits(tags)} bits (planar configuration 2), "
            "which is not supported: save them interleaved, or as PNG"
        )
    if count == 2 and bits(tags) > 8:
        return "has 16-bit grey and alpha, which is not supported in TIFF: save it as PNG"
    if (
        kind == 6
        and tags.get(_COMPRESSION, 1) == 1
        and tuple(tags.get(_SUBSAMPLING, (2, 2))) != ((1, 1))
    ):
        return "is uncompressed YCbCr with chroma subsampling: save it as RGB"
    return ""


def described(file: BinaryIO) -> str:
    """Describes the pixels of a TIFF file that Pillow does not support; "" for other files."""
    try:
        file.seek(0)
        start = file.read(8)
        if start[:4] not in (b"II*\0", b"MM\0*"):
            return ""
        tags = TiffImagePlugin.ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        if _SAMPLES not in tags and _BITS not in tags:
            return ""
        kind, count = max(tags.get(_FORMAT, (1,))), channels(tags)
        numbers = {1: "", 2: "signed ", 3: "floating-point "}.get(kind, "odd ")
        return (
            f"is a TIFF of {counted(count, f'{numbers}channel')} of "
            f"{bits(tags)} bits (photometric interpretation {tags.get(_PHOTOMETRIC, 'missing')})"
        )
    except Exception:  # of damaged files, whatever the parser stumbles over
        return ""
