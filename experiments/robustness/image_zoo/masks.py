"""Masks of every kind, with the expected ids or the words of the refusal."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from experiments.robustness.image_zoo import png, tiff
from experiments.robustness.image_zoo.entry import COLOURS, IDS, SHAPE, Entry, grey, saved, turned

_MANY = np.random.default_rng(5).integers(0, 1000, IDS.shape, dtype=np.uint16)
_COLOURED = np.array(list(COLOURS), np.uint8)[IDS]
_PALETTE = np.array(list(COLOURS), np.uint8)
_OPAQUE = np.full_like(SHAPE, 255)
_ZERO = np.zeros_like(SHAPE)


def _indexed() -> Image.Image:
    image = Image.fromarray(IDS)
    image.putpalette(_PALETTE.tobytes())
    return image


def _png_ids() -> Iterator[Entry]:
    for bits in (1, 2, 4, 8, 16):
        ids = IDS % 2 if bits == 1 else _MANY if bits == 16 else IDS
        yield Entry(f"m_png{bits}.png", png.encode(ids, bits, png.GREY), ids)
        yield Entry(f"m_png{bits}_adam7.png", png.encode(ids, bits, png.GREY, interlaced=True), ids)
        keyed = png.encode(ids, bits, png.GREY, png.transparent(1))
        yield Entry(f"m_png{bits}_key.png", keyed, ids)  # an id, even if transparent
        if bits < 16:
            colours = np.resize(_PALETTE, (2**bits, 3))
            parts = [png.palette(colours), png.transparent(0, 200, wide=False)]
            for name, chunks in (("", parts[:1]), ("_clear", parts)):
                data = png.encode(ids, bits, png.PALETTE, *chunks)
                yield Entry(f"m_png{bits}_palette{name}.png", data, ids)
    yield Entry("m_png8_filtered.png", saved(IDS, "PNG"), IDS)
    yield Entry("m_png_rgb.png", png.encode(grey(IDS), 8, png.RGB), IDS)
    small = np.repeat((IDS % 2).astype(np.uint16)[..., None], 3, 2)
    yield Entry("m_png_rgb16_ids_0_and_1.png", png.encode(small, 16, png.RGB), IDS % 2)
    wide = np.repeat(_MANY[..., None], 3, 2)
    yield Entry("m_png_rgb16.png", png.encode(wide, 16, png.RGB), _MANY)
    for tag in (0, 3, 6, 9):
        chunk = png.chunk(b"eXIf", png.exif(tag))
        data = png.encode(turned(IDS, tag), 8, png.GREY, chunk)
        yield Entry(f"m_png_turned{tag}.png", data, IDS)
    yield Entry("m_png_no_end.png", png.encode(IDS, 8, png.GREY, end=False), IDS)
    yield Entry("m_png_cut.png", png.encode(IDS, 8, png.GREY)[:70], "truncated or damaged")
    frames = {"save_all": True, "append_images": [Image.fromarray(IDS[::-1].copy())]}
    yield Entry("m_png_animated.png", saved(IDS, "PNG", frames), "animation of 2 frames")


def _alpha() -> Iterator[Entry]:
    for bits in (8, 16):
        kind = np.uint8 if bits == 8 else np.uint16
        full = np.full(IDS.shape, 2**bits - 1, kind)
        shape = (SHAPE > 0) * full
        ids = IDS.astype(kind)
        of_ids, nothing = grey(IDS).astype(kind), np.zeros((*IDS.shape, 3), kind)
        for name, values, colour_type, right in (
            ("la_opaque", np.dstack([ids, full]), png.GREY_ALPHA, IDS),
            ("la_shape", np.dstack([0 * ids, shape]), png.GREY_ALPHA, "shape in the alpha"),
            ("la_holes", np.dstack([ids, shape]), png.GREY_ALPHA, "transparent in"),
            ("rgba_opaque", np.dstack([of_ids, full]), png.RGBA, IDS),
            ("rgba_shape", np.dstack([nothing, shape]), png.RGBA, "shape in the alpha"),
            ("rgba_holes", np.dstack([of_ids, shape]), png.RGBA, "transparent in"),
        ):
            yield Entry(f"m_png{bits}_{name}.png", png.encode(values, bits, colour_type), right)
    clear = np.dstack([of_ids.astype(np.uint8), _ZERO])
    yield Entry("m_png_all_clear.png", png.encode(clear, 8, png.RGBA), "transparent in 273")


def _colours() -> Iterator[Entry]:
    one = np.where(SHAPE[..., None] > 0, 255, 255) * np.array([1, 0, 0])  # even where clear
    shown = np.dstack([_COLOURED, _OPAQUE])
    sixteen = _COLOURED.astype(np.uint16) * 257
    same = np.array([[255, 0, 0], [255, 0, 0], [0, 128, 0], [0, 0, 0]])
    keyed = png.transparent(0, 0, 0)
    clear = png.transparent(0, wide=False)
    of_shape = (SHAPE // 255).astype(np.uint8)
    for name, data, right in (
        ("rgb", png.encode(_COLOURED, 8, png.RGB), IDS),
        ("rgb_key", png.encode(_COLOURED, 8, png.RGB, keyed), IDS),
        ("rgb16", png.encode(sixteen, 16, png.RGB), IDS),
        ("rgb16_more", png.encode(sixteen + 3, 16, png.RGB), "more than 8 bits"),
        ("rgba", png.encode(shown, 8, png.RGBA), IDS),
        ("clear_ground", png.encode(np.dstack([one, SHAPE]), 8, png.RGBA), "shape in the alpha"),
        ("clear_parts", png.encode(np.dstack([_COLOURED, SHAPE]), 8, png.RGBA), "transparent in"),
        ("palette", png.encode(IDS, 8, png.PALETTE, png.palette(_PALETTE)), IDS),
        ("palette_clear", png.encode(IDS, 2, png.PALETTE, png.palette(_PALETTE), clear), IDS),
        (
            "palette_alike",
            png.encode(of_shape, 8, png.PALETTE, png.palette(same), clear),
            "differ only in transparency",
        ),
        ("unknown", png.encode(_COLOURED // 2, 8, png.RGB), "colours that no class has"),
        ("grey", png.encode(_ZERO, 8, png.GREY), _ZERO),
        ("grey16", png.encode(np.full(IDS.shape, 1), 16, png.GREY), "more than 8 bits"),
    ):
        yield Entry(f"m_colour_{name}.png", data, right, colours=True)
    yield Entry("m_colour_tiff16.tif", tiff.encode(tiff.page(sixteen, tiff.RGB)), IDS, colours=True)
    yield Entry("m_colour_bmp.bmp", saved(_COLOURED, "BMP"), IDS, colours=True)
    yield Entry("m_colour_gif.gif", saved(_indexed(), "GIF"), IDS, colours=True)
    yield Entry("m_colour_without.png", png.encode(_COLOURED, 8, png.RGB), "encoded by colours")
    data = png.encode(sixteen, 16, png.RGB)
    yield Entry("m_colour16_without.png", data, "encoded by colours")


def _tiff() -> Iterator[Entry]:
    for bits in (1, 2, 4, 8):
        ids = IDS % 2 if bits == 1 else IDS
        for name, kind, right in (
            ("", tiff.BLACK_IS_ZERO, ids),
            ("_white0", tiff.WHITE_IS_ZERO, "in which 0 is white"),
        ):
            data = tiff.encode(tiff.page(ids, kind, bits=bits))
            yield Entry(f"m_tiff{bits}{name}.tif", data, right)
    twelve = _MANY[:, :20]
    data = tiff.encode(tiff.page(twelve, tiff.BLACK_IS_ZERO, bits=12))
    yield Entry("m_tiff12.tif", data, twelve)
    for order in ("<", ">"):
        name = {"<": "ii", ">": "mm"}[order]
        for number in ("uint16", "int16", "uint32", "int32"):
            page = tiff.page(_MANY.astype(number), tiff.BLACK_IS_ZERO)
            unread = order == ">" and number == "uint32"
            yield Entry(
                f"m_tiff_{number}_{name}.tif",
                tiff.encode(page, order=order),
                "1 channel of 32 bits" if unread else _MANY,
            )
    yield Entry(
        "m_tiff16_white0.tif",
        tiff.encode(tiff.page(_MANY, tiff.WHITE_IS_ZERO)),
        "in which 0 is white",
    )
    less = tiff.page(_MANY.astype(np.int32) - 5, tiff.BLACK_IS_ZERO)
    yield Entry("m_tiff_below_0.tif", tiff.encode(less), "outside 0 ... 65535")
    much = tiff.page(_MANY.astype(np.uint32) + 70000, tiff.BLACK_IS_ZERO)
    yield Entry("m_tiff_above_65535.tif", tiff.encode(much), "outside 0 ... 65535")
    for number in ("float32", "float64"):
        page = tiff.page(IDS.astype(number), tiff.BLACK_IS_ZERO)
        yield Entry(f"m_tiff_{number}.tif", tiff.encode(page), "floating-point")
    ramp = {tiff.COLOURMAP: [257 * v for v in np.resize(_PALETTE, (256, 3)).T.ravel().tolist()]}
    yield Entry("m_tiff_palette.tif", tiff.encode(tiff.page(IDS, tiff.PALETTE, ramp)), IDS)
    wide = np.repeat(_MANY[..., None], 3, 2)
    yield Entry("m_tiff_rgb16.tif", tiff.encode(tiff.page(wide, tiff.RGB)), _MANY)
    four = np.dstack([grey(IDS), _OPAQUE])
    yield Entry("m_tiff_four.tif", tiff.encode(tiff.page(four, tiff.RGB)), "4 channels")
    planar = tiff.page(np.dstack([grey(IDS), IDS]), tiff.RGB, {tiff.EXTRA: [0], tiff.PLANAR: [2]})
    yield Entry("m_tiff_four_planar.tif", tiff.encode(planar), "4 channels")
    planes = tiff.page(wide, tiff.RGB, {tiff.PLANAR: [2]})
    yield Entry("m_tiff_rgb16_planar.tif", tiff.encode(planes), "planar configuration 2")
    shape = tiff.page(np.dstack([0 * grey(IDS), SHAPE]), tiff.RGB, {tiff.EXTRA: [2]})
    yield Entry("m_tiff_shape.tif", tiff.encode(shape), "shape in the alpha")
    one, two = tiff.page(IDS, tiff.BLACK_IS_ZERO), tiff.page(IDS[::-1], tiff.BLACK_IS_ZERO)
    stack = tiff.encode(one, two, one)
    yield Entry("m_tiff_stack.tif", stack, "3 pages")
    yield Entry("m_tiff_stack_page1.tif", stack, IDS[::-1], page=1)
    yield Entry("m_tiff_stack_page5.tif", stack, "the file holds 3 pages", page=5)
    tags = {tiff.ORIENTATION: [6]}
    page = tiff.page(turned(IDS, 6), tiff.BLACK_IS_ZERO, tags)
    yield Entry("m_tiff_turned6.tif", tiff.encode(page), IDS)
    lossy = saved(IDS, "TIFF", {"compression": "jpeg"})
    yield Entry("m_tiff_jpeg.tif", lossy, "JPEG compression (lossy")
    yield Entry("m_tiff_lzw.tif", saved(IDS, "TIFF", {"compression": "tiff_lzw"}), IDS)
    yield Entry("m_tiff_cmyk.tif", tiff.encode(tiff.page(four, tiff.CMYK)), "CMYK colours")
    yield Entry("m_tiff_lab.tif", tiff.encode(tiff.page(grey(IDS), tiff.LAB)), "CIELAB")


def _others() -> Iterator[Entry]:
    yield Entry("m_bmp_grey.bmp", saved(IDS, "BMP"), IDS)
    yield Entry("m_bmp_bits.bmp", saved(IDS % 2 == 1, "BMP"), IDS % 2)
    yield Entry("m_bmp_palette.bmp", saved(_indexed(), "BMP"), IDS)
    yield Entry("m_bmp_rgb.bmp", saved(grey(IDS), "BMP"), IDS)
    yield Entry("m_bmp_rgba.bmp", saved(np.dstack([grey(IDS), SHAPE]), "BMP"), "the fourth")
    yield Entry("m_gif_grey.gif", saved(IDS, "GIF"), IDS)
    yield Entry("m_gif_interlaced.gif", saved(IDS, "GIF", {"interlace": 1}), IDS)
    frames = {"save_all": True, "append_images": [Image.fromarray(IDS[::-1].copy())]}
    yield Entry("m_gif_animated.gif", saved(IDS, "GIF", frames), "animation of 2 frames")
    yield Entry("m_jpeg.png", saved(IDS, "JPEG"), "is JPEG (lossy")
    yield Entry("m_webp.png", saved(grey(IDS), "WEBP", {"lossless": True}), "is WEBP (lossy")
    yield Entry("m_empty.png", b"", "not an image in a supported format")


def entries() -> list[Entry]:
    """All entries for masks."""
    groups = (_png_ids, _alpha, _colours, _tiff, _others)
    return [entry for group in groups for entry in group()]
