"""Reads the headers of JPEG and PNG files without decoding them.

An image is *plain* if OpenCV decodes it to the pixels that `pixels` defines: an 8-bit JPEG with one
or three channels, or an 8-bit greyscale or RGB PNG without transparency, animation or orientation.
Such files are decoded by OpenCV, both in training and in prediction; all others by `image_file`.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])  # JPEG markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 ... SOF15
# An EXIF orientation with a single value other than 1, in either byte order.
_TURNED = re.compile(
    rb"\x12\x01[\x01\x03\x04]\x00\x01\x00\x00\x00(?!\x01\x00)"
    rb"|\x01\x12\x00[\x01\x03\x04]\x00\x00\x00\x01(?!\x00\x01|\x00\x00\x00\x01|\x01)"
)
_DECODER_PIXELS, _DECODER_SIDE = 2**30, 2**20  # OpenCV's own limits; `image_file` has none
_ORIENTING_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")


class Plain(NamedTuple):
    """A plain image.

    Attributes:
      height: as stored, in rows.
      width: as stored, in columns.
      tagged: whether it seems to have an orientation (JPEG only), which must still be read.
    """

    height: int
    width: int
    tagged: bool


def png_header(data: bytes) -> tuple[int, int] | None:
    """(bits per channel, colour type: 0 for greyscale) of a PNG file; None for other files."""
    return (data[24], data[25]) if data.startswith(PNG) and len(data) > 25 else None


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, first bytes) of each chunk of a PNG file except IDAT, up to IEND or the end."""
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind != b"IDAT":
            yield kind, data[at + 8 : at + 8 + min(length, 32)]
        if kind == b"IEND":
            return
        at += length + 12


def _plain_png(data: bytes) -> Plain | None:
    if png_header(data) not in ((8, 0), (8, 2)):
        return None
    kind = b""
    for kind, start in png_chunks(data):
        if kind in (b"tRNS", b"acTL", b"eXIf") or start.startswith(_ORIENTING_TEXTS):
            return None
    height, width = struct.unpack_from(">II", data, 16)[::-1]
    return Plain(height, width, False) if kind == b"IEND" else None


def _plain_jpeg(data: bytes) -> Plain | None:
    at, tagged, found = 2, False, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:  # the scan begins
            return found._replace(tagged=tagged) if found else None
        if marker == 0xE1:
            part = data[at + 4 : at + 2 + length]
            if part.startswith(b"Exif"):
                tagged |= _TURNED.search(part) is not None
            else:
                tagged |= b"tiff:Orientation" in part
        elif marker in _FRAMES and length >= 8:
            if at + 10 > len(data):  # truncated within the sizes
                return None
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            if bits != 8 or channels not in (1, 3) or not height:
                return None
            found = Plain(height, width, False)
        at += 2 + length
    return None


def plain(data: bytes) -> Plain | None:
    """The size of a plain image; None if it is not plain, or truncated."""
    if data.startswith(b"\xff\xd8"):
        found = _plain_jpeg(data)
    elif data.startswith(PNG):
        found = _plain_png(data)
    else:
        return None
    if found and (found.height * found.width > _DECODER_PIXELS or max(found[:2]) > _DECODER_SIDE):
        return None
    return found
