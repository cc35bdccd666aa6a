"""PNG files of any depth, colour type and set of chunks (PNG specification, 3rd edition)."""

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # colour types
# Adam7: first row, first column, step of rows, step of columns of each pass.
_PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rows(values: np.ndarray, bits: int) -> bytes:
    """Rows without a filter, each padded to whole bytes."""
    lines = []
    for row in values.reshape(values.shape[0], -1):
        if bits == 16:
            lines.append(row.astype(">u2").tobytes())
        else:
            each = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
            lines.append(np.packbits(each.astype(np.uint8).ravel()).tobytes())
    return b"".join(b"\0" + line for line in lines)


def encode(
    values: np.ndarray,
    bits: int,
    colour_type: int,
    *chunks: bytes,
    interlaced: bool = False,
    end: bool = True,
) -> bytes:
    """A PNG file.

    Args:
      values: the stored values, [H, W] or [H, W, C].
      bits: of each value: 1, 2, 4, 8 or 16.
      colour_type: one of those above.
      chunks: inserted between the header and the pixels.
      interlaced: use Adam7.
      end: write the last chunk.
    """
    header = struct.pack(
        ">IIBBBBB", values.shape[1], values.shape[0], bits, colour_type, 0, 0, int(interlaced)
    )
    parts = [values[r::dr, c::dc] for r, c, dr, dc in _PASSES] if interlaced else [values]
    rows = b"".join(_rows(part, bits) for part in parts if part.size)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)
    return file + chunk(b"IDAT", zlib.compress(rows)) + (chunk(b"IEND", b"") if end else b"")


def palette(colours: np.ndarray) -> bytes:
    """The palette chunk of RGB colours, uint8 [N, 3]."""
    return chunk(b"PLTE", colours.astype(np.uint8).tobytes())


def transparent(*values: int, wide: bool = True) -> bytes:
    """The chunk tRNS: a grey value, a colour, or (not `wide`) the opacity of palette entries."""
    return chunk(b"tRNS", struct.pack(f">{len(values)}{'H' if wide else 'B'}", *values))


def exif(orientation: int, order: str = ">") -> bytes:
    """EXIF data with only an orientation, as in the chunk eXIf."""
    start = b"MM" if order == ">" else b"II"
    value = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return start + struct.pack(f"{order}HIH", 42, 8, 1) + value + struct.pack(f"{order}I", 0)
