"""Images of every kind, with the expected pixels or the words of the refusal."""

import io
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from experiments.robustness.image_zoo import images_tiff, png
from experiments.robustness.image_zoo.entry import (
    ALPHA,
    BLOCKS,
    ICC,
    NOISE,
    PALETTE,
    SHAPE,
    WIDE,
    WIDE_ALPHA,
    Entry,
    grey,
    inks_as_rgb,
    on_white,
    oriented,
    saved,
    to_eight,
    turned,
)

_G = NOISE[..., 0]


def _png_depths() -> Iterator[Entry]:
    values: np.ndarray
    for bits in (1, 2, 4, 8):
        values = _G >> (8 - bits)
        right = grey(values * (255 // (2**bits - 1)))
        yield Entry(f"png_grey{bits}.png", png.encode(values, bits, png.GREY), right)
        hole = int(values[2, 3])
        keyed = png.encode(values, bits, png.GREY, png.transparent(hole))
        right = np.where((values == hole)[..., None], 255, right)
        yield Entry(f"png_grey{bits}_key.png", keyed, right.astype(np.uint8))
        colours = PALETTE[: 2**bits]
        of_palette = png.palette(colours)
        indexed = png.encode(values, bits, png.PALETTE, of_palette)
        yield Entry(f"png_palette{bits}.png", indexed, colours[values])
        opacity = (0, 128)  # of the first two entries; the others are opaque
        alpha = np.array([*opacity, *[255] * (2**bits - 2)])[values]
        clear = png.transparent(*opacity, wide=False)
        yield Entry(
            f"png_palette{bits}_clear.png",
            png.encode(values, bits, png.PALETTE, of_palette, clear),
            on_white(colours[values], alpha),
        )
    w = WIDE[..., 0]
    yield Entry("png_grey16.png", png.encode(w, 16, png.GREY), grey(to_eight(w, 65535)))
    hole = int(w[2, 3])
    right = np.where((w == hole)[..., None], 255, grey(to_eight(w, 65535))).astype(np.uint8)
    yield Entry("png_grey16_key.png", png.encode(w, 16, png.GREY, png.transparent(hole)), right)
    yield Entry("png_rgb8.png", png.encode(NOISE, 8, png.RGB), NOISE)
    yield Entry("png_rgb16.png", png.encode(WIDE, 16, png.RGB), to_eight(WIDE, 65535))
    for bits, values in ((8, NOISE), (16, WIDE)):
        key = [int(v) for v in values[2, 3]]
        same = (values == values[2, 3]).all(-1)[..., None]
        right = np.where(same, 255, to_eight(values, 2**bits - 1)).astype(np.uint8)
        keyed = png.encode(values, bits, png.RGB, png.transparent(*key))
        yield Entry(f"png_rgb{bits}_key.png", keyed, right)
        alpha = ALPHA if bits == 8 else WIDE_ALPHA
        both = np.dstack([values, alpha])
        right = on_white(to_eight(values, 2**bits - 1), ALPHA)
        yield Entry(f"png_rgba{bits}.png", png.encode(both, bits, png.RGBA), right)
        both = np.dstack([values[..., 0], alpha])
        right = on_white(grey(to_eight(values[..., 0], 2**bits - 1)), ALPHA)
        yield Entry(f"png_la{bits}.png", png.encode(both, bits, png.GREY_ALPHA), right)
    cut_out = np.dstack([NOISE, SHAPE])
    yield Entry("png_cut_out.png", png.encode(cut_out, 8, png.RGBA), on_white(NOISE, SHAPE))


def _png_others() -> Iterator[Entry]:
    for name, values, bits, kind in (
        ("grey8", _G, 8, png.GREY),
        ("grey2", _G >> 6, 2, png.GREY),
        ("rgb8", NOISE, 8, png.RGB),
        ("rgb16", WIDE, 16, png.RGB),
        ("grey16", WIDE[..., 1], 16, png.GREY),
    ):
        right = to_eight(values, 2**bits - 1)
        right = right if right.ndim == 3 else grey(right)
        yield Entry(f"png_{name}_adam7.png", png.encode(values, bits, kind, interlaced=True), right)
    profile = png.chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(ICC))
    for name, extra in (
        ("gamma", png.chunk(b"gAMA", struct.pack(">I", 100000))),
        ("icc", profile),
        ("cicp", png.chunk(b"cICP", bytes([12, 13, 0, 1]))),
        ("sbit", png.chunk(b"sBIT", bytes([5, 6, 5]))),
        ("text", png.chunk(b"tEXt", b"Software\0x")),
    ):
        yield Entry(f"png_{name}.png", png.encode(NOISE, 8, png.RGB, extra), NOISE)
    for tag in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
        data = png.encode(turned(NOISE, tag), 8, png.RGB, png.chunk(b"eXIf", png.exif(tag)))
        yield Entry(f"png_turned{tag}.png", data, NOISE)
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    data = png.encode(turned(NOISE, 6), 8, png.RGB, png.chunk(b"iTXt", xmp))
    yield Entry("png_turned6_xmp.png", data, NOISE)
    wide = png.encode(turned(WIDE, 8), 16, png.RGB, png.chunk(b"eXIf", png.exif(8, "<")))
    yield Entry("png_turned8_rgb16.png", wide, to_eight(WIDE, 65535))
    both = turned(np.dstack([NOISE, ALPHA]), 5)
    data = png.encode(both, 8, png.RGBA, png.chunk(b"eXIf", png.exif(5)))
    yield Entry("png_turned5_rgba.png", data, on_white(NOISE, ALPHA))
    yield Entry("png_no_end.png", png.encode(NOISE, 8, png.RGB, end=False), NOISE)
    yield Entry("png_filtered.png", saved(NOISE, "PNG"), NOISE)
    yield Entry("png_no_suffix_of_its_own.jpg", png.encode(NOISE, 8, png.RGB), NOISE)
    frames = {"save_all": True, "append_images": [Image.fromarray(NOISE[::-1].copy())]}
    yield Entry("png_animated.png", saved(NOISE, "PNG", frames), "animation of 2 frames")
    yield Entry(
        "png_index_beyond.png",
        png.encode(_G, 8, png.PALETTE, png.palette(PALETTE[:4])),
        "palette index",
    )
    whole = png.encode(NOISE, 8, png.RGB)
    yield Entry("png_cut.png", whole[:400], "truncated or damaged")
    yield Entry("png_header_only.png", whole[:20], "truncated or damaged")


def _app14(data: bytes, transform: int | None) -> bytes:
    """A JPEG with another colour transform in its Adobe marker, or without the marker."""
    at = data.index(b"\xff\xee")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if transform is None:
        return data[:at] + data[at + 2 + length :]
    return data[: at + 1 + length] + bytes([transform]) + data[at + 2 + length :]


def _with_app1(data: bytes, content: bytes) -> bytes:
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


def _jpegs() -> Iterator[Entry]:
    best = {"quality": 100, "subsampling": 0}
    plain = saved(BLOCKS, "JPEG", best)
    yield Entry("jpeg_444.jpg", plain, BLOCKS, off=2)
    dull = grey(BLOCKS[..., 0])  # subsampled colours would bleed at the edges of coloured blocks
    yield Entry("jpeg_420.jpg", saved(dull, "JPEG", best | {"subsampling": 2}), dull, off=1)
    yield Entry(
        "jpeg_progressive.jpg", saved(BLOCKS, "JPEG", best | {"progressive": True}), BLOCKS, off=2
    )
    yield Entry(
        "jpeg_restarts.jpg",
        cv2.imencode(
            ".jpg", dull, [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
        )[1].tobytes(),
        dull,
        off=1,
    )
    yield Entry("jpeg_grey.jpg", saved(BLOCKS[..., 0], "JPEG", best), grey(BLOCKS[..., 0]))
    yield Entry("jpeg_rgb.jpg", saved(BLOCKS, "JPEG", best | {"keep_rgb": True}), BLOCKS)
    inks = np.dstack([BLOCKS, BLOCKS[::-1, :, 0]])
    image = Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())
    adobe = saved(image, "JPEG", best)  # with inverted inks, as Adobe's programs write them
    yield Entry("jpeg_cmyk_adobe.jpg", adobe, inks_as_rgb(inks), off=1)
    yield Entry("jpeg_cmyk.jpg", _app14(adobe, None), "0 means no ink or full ink")
    luma = np.dstack([BLOCKS[..., 0], np.full((*BLOCKS.shape[:2], 2), 128), BLOCKS[..., 1]])
    image = Image.frombytes("CMYK", inks.shape[1::-1], (255 - luma).astype(np.uint8).tobytes())
    ycck = _app14(saved(image, "JPEG", best), 2)  # no colour: red, green and blue equal Y
    inks = np.dstack([luma[..., :1].repeat(3, 2), 255 - luma[..., 3]])
    yield Entry("jpeg_ycck.jpg", ycck, inks_as_rgb(inks), off=2)
    yield Entry("jpeg_icc.jpg", saved(BLOCKS, "JPEG", best | {"icc_profile": ICC}), BLOCKS, off=2)
    for tag in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
        for order, name in ((">", "mm"), ("<", "ii")):
            if name == "mm" or tag in (1, 6):
                stored = saved(turned(BLOCKS, tag), "JPEG", best)
                data = _with_app1(stored, b"Exif\0\0" + png.exif(tag, order))
                yield Entry(f"jpeg_turned{tag}_{name}.jpg", data, BLOCKS, off=2)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="8"/>'
    data = _with_app1(saved(turned(BLOCKS, 8), "JPEG", best), xmp)
    yield Entry("jpeg_turned8_xmp.jpg", data, BLOCKS, off=2)
    data = _with_app1(saved(turned(BLOCKS[..., 0], 6), "JPEG", best), b"Exif\0\0" + png.exif(6))
    yield Entry("jpeg_turned6_grey.jpg", data, grey(BLOCKS[..., 0]))
    frames = best | {"save_all": True, "append_images": [Image.fromarray(BLOCKS[::-1].copy())]}
    yield Entry("jpeg_of_a_phone.jpg", saved(BLOCKS, "MPO", frames), BLOCKS, off=2)
    yield Entry("jpeg_with_more_behind.jpg", plain + b"\0" * 100, BLOCKS, off=2)
    yield Entry(
        "jpeg_broken_exif.jpg", _with_app1(plain, b"Exif\0\0MM\0*\xff\xff\xff\xff"), BLOCKS, off=2
    )
    yield Entry("jpeg_cut.jpg", plain[: len(plain) // 2], "truncated or damaged")


def _bmp_with_masks(rgba: np.ndarray) -> bytes:
    """A BMP with a version 4 header, which defines the bits of alpha."""
    height, width = rgba.shape[:2]
    pixels = rgba[::-1][..., [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    start = 14 + len(header) + len(masks)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + masks + pixels


def _others() -> Iterator[Entry]:
    rgba = np.dstack([NOISE, SHAPE])
    indexed = Image.fromarray(_G)
    indexed.putpalette(PALETTE.tobytes())
    for kind, suffix in (("BMP", "bmp"), ("GIF", "gif")):
        yield Entry(f"{kind}_grey.{suffix}", saved(_G, kind), grey(_G))
        yield Entry(f"{kind}_palette.{suffix}", saved(indexed, kind), PALETTE[_G])
    yield Entry("bmp_rgb.bmp", saved(NOISE, "BMP"), NOISE)
    yield Entry("bmp_rgba.bmp", saved(rgba, "BMP"), "an alpha channel to some")
    opaque = np.dstack([NOISE, np.full_like(SHAPE, 255)])
    yield Entry("bmp_rgbx.bmp", saved(opaque, "BMP"), NOISE)
    yield Entry("bmp_alpha.bmp", _bmp_with_masks(rgba), on_white(NOISE, SHAPE))
    yield Entry("bmp_bits.bmp", saved(_G > 127, "BMP"), grey((_G > 127) * np.uint8(255)))
    clear = saved(indexed, "GIF", {"transparency": int(_G[2, 3])})
    right = on_white(PALETTE[_G], np.where(int(_G[2, 3]) == _G, 0, 255))
    yield Entry("gif_clear.gif", clear, right)
    yield Entry("gif_interlaced.gif", saved(indexed, "GIF", {"interlace": 1}), PALETTE[_G])
    frames = {"save_all": True, "append_images": [Image.fromarray(_G[::-1].copy())]}
    yield Entry("gif_animated.gif", saved(_G, "GIF", frames), "animation of 2 frames")
    whole = saved(indexed, "GIF")
    at = (
        whole.index(b"\x2c")
        if whole.count(b"\x2c") == 1
        else whole.rindex(b"\x2c" + struct.pack("<HHHH", 0, 0, 21, 13))
    )
    canvas = whole[:6] + struct.pack("<HH", 30, 30) + whole[10:]
    assert canvas[at : at + 1] == b"\x2c"
    yield Entry("gif_part_of_canvas.gif", canvas, "part of its canvas")
    exact = {"lossless": True, "exact": True}
    yield Entry("webp_rgb.webp", saved(NOISE, "WEBP", exact), NOISE)
    yield Entry("webp_rgba.webp", saved(rgba, "WEBP", exact), on_white(NOISE, SHAPE))
    dull = grey(BLOCKS[..., 0])
    yield Entry("webp_lossy.webp", saved(dull, "WEBP", {"quality": 100}), dull, off=4)
    turned6 = exact | {"exif": oriented(6)}
    yield Entry("webp_turned6.webp", saved(turned(NOISE, 6), "WEBP", turned6), NOISE)
    frames = exact | {"save_all": True, "append_images": [Image.fromarray(NOISE[::-1].copy())]}
    yield Entry("webp_animated.webp", saved(NOISE, "WEBP", frames), "animation of 2 frames")
    yield Entry("empty.png", b"", "not an image in a supported format")
    yield Entry("text.jpg", b"not an image", "not an image in a supported format")
    yield Entry("pdf.png", b"%PDF-1.4 and so on", "not an image in a supported format")
    jp2 = io.BytesIO()
    Image.fromarray(NOISE).save(jp2, "JPEG2000")
    yield Entry("jpeg2000.jpg", jp2.getvalue(), "not an image in a supported format")


def entries() -> list[Entry]:
    """All entries for images."""
    groups = (_png_depths, _png_others, _jpegs, *images_tiff.GROUPS, _others)
    return [entry for group in groups for entry in group()]
