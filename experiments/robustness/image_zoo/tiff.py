"""TIFF files of any depth, photometric interpretation and set of pages (TIFF 6.0, section 2)."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
SUBFILE, COLOURMAP, ORIENTATION, PLANAR, EXTRA, FORMAT = 254, 320, 274, 284, 338, 339
Tags = Mapping[int, Sequence[int]]
_LONG = {256, 257, 273, 278, 279, 254}


def _strip(values: np.ndarray, bits: int, order: str) -> bytes:
    if bits in (8, 16, 32, 64):
        return values.astype(f"{order}{values.dtype.str[1:]}").tobytes()
    rows = []
    for row in values.reshape(values.shape[0], -1):
        each = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows.append(np.packbits(each.astype(np.uint8).ravel()).tobytes())
    return b"".join(rows)


def page(
    values: np.ndarray, photometric: int, tags: Tags | None = None, bits: int = 0
) -> tuple[np.ndarray, int, dict[int, Sequence[int]]]:
    """One page for `encode`.

    Args:
      values: the stored values, [H, W] or [H, W, C].
      photometric: one of those above.
      tags: additional or replaced tags.
      bits: of each value; 0: those of its type.
    """
    count = 1 if values.ndim == 2 else values.shape[2]
    bits = bits or 8 * values.dtype.itemsize
    kinds = {"u": 1, "i": 2, "f": 3}
    found: dict[int, Sequence[int]] = {
        256: [values.shape[1]],
        257: [values.shape[0]],
        258: [bits] * count,
        259: [1],
        262: [photometric],
        277: [count],
        FORMAT: [kinds[values.dtype.kind]] * count,
    }
    if tags and tags.get(PLANAR) == [2]:
        values = np.moveaxis(values, -1, 0)  # one plane after the other
    return values, bits, found | dict(tags or {})


def encode(*pages: tuple[np.ndarray, int, dict[int, Sequence[int]]], order: str = "<") -> bytes:
    """A file of uncompressed pages; byte `order` is "<" (Intel) or ">" (Motorola)."""
    file = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    link = 4  # position of the offset of the next directory
    for values, bits, tags in pages:
        planes = list(values) if tags.get(PLANAR) == [2] else [values]
        strips = [_strip(plane, bits, order) for plane in planes]
        places = []
        for strip in strips:
            places.append(len(file))
            file += strip + b"\0" * (len(strip) % 2)
        tags = dict(tags) | {273: places, 278: [tags[257][0]], 279: [len(s) for s in strips]}
        entries = b""
        for number in sorted(tags):
            wide = number in _LONG
            data = struct.pack(f"{order}{len(tags[number])}{'I' if wide else 'H'}", *tags[number])
            if len(data) > 4:
                data_at = struct.pack(f"{order}I", len(file))
                file += data + b"\0" * (len(data) % 2)
            else:
                data_at = data.ljust(4, b"\0")
            kind = 4 if wide else 3
            entries += struct.pack(f"{order}HHI", number, kind, len(tags[number])) + data_at
        file += b"\0" * (len(file) % 2)
        file[link : link + 4] = struct.pack(f"{order}I", len(file))
        link = len(file) + 2 + len(entries)
        file += struct.pack(f"{order}H", len(tags)) + entries + b"\0\0\0\0"
    return bytes(file)
