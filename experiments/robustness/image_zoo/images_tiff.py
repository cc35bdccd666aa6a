"""TIFF images of every kind; see `images`."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from experiments.robustness.image_zoo import tiff
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


def _tiff_depths() -> Iterator[Entry]:
    values: np.ndarray
    for bits in (1, 2, 4, 8):
        values = _G >> (8 - bits)
        right = grey(values * (255 // (2**bits - 1)))
        for name, kind, shown in (
            ("", tiff.BLACK_IS_ZERO, right),
            ("_white0", tiff.WHITE_IS_ZERO, 255 - right),
        ):
            data = tiff.encode(tiff.page(values, kind, bits=bits))
            yield Entry(f"tiff_grey{bits}{name}.tif", data, shown)
    w = WIDE[..., 0]
    right = grey(to_eight(w, 65535))
    for order, name in (("<", "ii"), (">", "mm")):
        data = tiff.encode(tiff.page(w, tiff.BLACK_IS_ZERO), order=order)
        yield Entry(f"tiff_grey16_{name}.tif", data, right)
        data = tiff.encode(tiff.page(WIDE, tiff.RGB), order=order)
        yield Entry(f"tiff_rgb16_{name}.tif", data, to_eight(WIDE, 65535))
        data = tiff.encode(tiff.page(NOISE, tiff.RGB), order=order)
        yield Entry(f"tiff_rgb8_{name}.tiff", data, NOISE)
    data = tiff.encode(tiff.page(w, tiff.WHITE_IS_ZERO))
    yield Entry("tiff_grey16_white0.tif", data, 255 - right)
    twelve = (w >> 4)[:, :20]  # an even width, so that rows of 12-bit values are whole bytes
    data = tiff.encode(tiff.page(twelve, tiff.BLACK_IS_ZERO, bits=12))
    yield Entry("tiff_grey12.tif", data, grey(to_eight(twelve, 4095)))
    ramp = [int(v) * 257 for v in PALETTE.T.ravel()]
    data = tiff.encode(tiff.page(_G, tiff.PALETTE, {tiff.COLOURMAP: ramp}))
    yield Entry("tiff_palette8.tif", data, PALETTE[_G])
    for name, values, kind in (
        ("rgb", WIDE.astype(np.float32), tiff.RGB),
        ("grey", w.astype(np.float32), tiff.BLACK_IS_ZERO),
        ("double", w.astype(np.float64), tiff.BLACK_IS_ZERO),
    ):
        yield Entry(f"tiff_float_{name}.tif", tiff.encode(tiff.page(values, kind)), "floating")
    for number in ("int8", "int16", "int32", "uint32"):
        data = tiff.encode(tiff.page(_G.astype(number), tiff.BLACK_IS_ZERO))
        yield Entry(f"tiff_{number}.tif", data, "bits")


def _tiff_channels() -> Iterator[Entry]:
    four = np.dstack([NOISE, ALPHA])
    cases: Sequence[tuple[str, dict[int, list[int]], np.ndarray | str]] = (
        ("no_tag", {}, "4 channels"),
        ("unknown", {tiff.EXTRA: [0]}, "4 channels"),
        ("alpha", {tiff.EXTRA: [2]}, on_white(NOISE, ALPHA)),
        ("planar", {tiff.EXTRA: [0], tiff.PLANAR: [2]}, "4 channels"),
    )
    for name, tags, right in cases:
        yield Entry(f"tiff_four_{name}.tif", tiff.encode(tiff.page(four, tiff.RGB, tags)), right)
    cut = np.dstack([NOISE * (SHAPE[..., None] // 255), SHAPE])
    data = tiff.encode(tiff.page(cut, tiff.RGB, {tiff.EXTRA: [1]}))
    yield Entry("tiff_premultiplied.tif", data, on_white(NOISE, SHAPE))
    wide = np.dstack([WIDE, WIDE_ALPHA])
    cases = (
        ("unknown", {tiff.EXTRA: [0]}, "4 channels"),
        ("alpha", {tiff.EXTRA: [2]}, on_white(to_eight(WIDE, 65535), ALPHA)),
        ("premultiplied", {tiff.EXTRA: [1]}, "premultiplied alpha"),
    )
    for name, tags, right in cases:
        yield Entry(f"tiff_four16_{name}.tif", tiff.encode(tiff.page(wide, tiff.RGB, tags)), right)
    five = np.dstack([four, ALPHA])
    for name, extra in (("alpha", [2, 0]), ("unknown", [0, 0])):
        data = tiff.encode(tiff.page(five, tiff.RGB, {tiff.EXTRA: extra}))
        yield Entry(f"tiff_five_{name}.tif", data, "5 channels")
    data = tiff.encode(tiff.page(four, tiff.BLACK_IS_ZERO, {tiff.EXTRA: [0, 0, 0]}))
    yield Entry("tiff_four_grey.tif", data, "4 channels")
    data = tiff.encode(tiff.page(NOISE, tiff.BLACK_IS_ZERO))
    yield Entry("tiff_three_grey.tif", data, "3 channels")
    two = np.dstack([_G, ALPHA])
    yield Entry(
        "tiff_la8.tif",
        tiff.encode(tiff.page(two, tiff.BLACK_IS_ZERO, {tiff.EXTRA: [2]})),
        on_white(grey(_G), ALPHA),
    )
    yield Entry(
        "tiff_two_unknown.tif",
        tiff.encode(tiff.page(two, tiff.BLACK_IS_ZERO, {tiff.EXTRA: [0]})),
        "2 channels",
    )
    yield Entry(
        "tiff_la16.tif",
        tiff.encode(
            tiff.page(np.dstack([WIDE[..., 0], WIDE_ALPHA]), tiff.BLACK_IS_ZERO, {tiff.EXTRA: [2]})
        ),
        "2 channels of 16 bits",
    )
    yield Entry(
        "tiff_planar.tif", tiff.encode(tiff.page(NOISE, tiff.RGB, {tiff.PLANAR: [2]})), NOISE
    )
    yield Entry("tiff_cmyk.tif", tiff.encode(tiff.page(four, tiff.CMYK)), inks_as_rgb(four), off=1)
    planes = {tiff.PLANAR: [2]}
    data = tiff.encode(tiff.page(four, tiff.RGB, planes | {tiff.EXTRA: [2]}))
    yield Entry("tiff_planar_alpha.tif", data, on_white(NOISE, ALPHA))
    data = tiff.encode(tiff.page(WIDE, tiff.RGB, planes))
    yield Entry("tiff_planar16.tif", data, "planar configuration 2")
    data = tiff.encode(tiff.page(two, tiff.BLACK_IS_ZERO, planes | {tiff.EXTRA: [2]}))
    yield Entry("tiff_planar_la.tif", data, "planar configuration 2")
    yield Entry("tiff_cmyk16.tif", tiff.encode(tiff.page(wide, tiff.CMYK)), "CMYK")
    yield Entry("tiff_lab.tif", tiff.encode(tiff.page(NOISE, tiff.LAB)), "CIELAB")
    yield Entry("tiff_ycbcr.tif", tiff.encode(tiff.page(NOISE, tiff.YCBCR)), "YCbCr")


def _tiff_others() -> Iterator[Entry]:
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        data = saved(NOISE, "TIFF", {"compression": compression})
        yield Entry(f"tiff_{compression}.tif", data, NOISE)
    fax = saved(_G > 127, "TIFF", {"compression": "group4"})
    yield Entry("tiff_group4.tif", fax, grey((_G > 127) * np.uint8(255)))
    data = saved(BLOCKS, "TIFF", {"compression": "jpeg", "quality": 100})
    yield Entry("tiff_jpeg.tif", data, BLOCKS, off=3)
    yield Entry("tiff_big.tif", saved(NOISE, "TIFF", {"big_tiff": True}), NOISE)
    yield Entry("tiff_icc.tif", saved(NOISE, "TIFF", {"icc_profile": ICC}), NOISE)
    wide = cv2.imencode(".tif", WIDE[..., ::-1])[1].tobytes()  # LZW with differences
    yield Entry("tiff_rgb16_lzw.tif", wide, to_eight(WIDE, 65535))
    for tag in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
        tags = {tiff.ORIENTATION: [tag]}
        data = tiff.encode(tiff.page(turned(NOISE, tag), tiff.RGB, tags))
        yield Entry(f"tiff_turned{tag}.tif", data, NOISE)
        data = tiff.encode(tiff.page(turned(WIDE, tag), tiff.RGB, tags))
        yield Entry(f"tiff_turned{tag}_rgb16.tif", data, to_eight(WIDE, 65535))
    for tag in (3, 6):
        tags = {tiff.ORIENTATION: [tag]}
        data = tiff.encode(tiff.page(turned(_G, tag), tiff.BLACK_IS_ZERO, tags))
        yield Entry(f"tiff_turned{tag}_grey.tif", data, grey(_G))
        values = turned(WIDE[..., 0], tag)
        data = tiff.encode(tiff.page(values, tiff.BLACK_IS_ZERO, tags))
        yield Entry(f"tiff_turned{tag}_grey16.tif", data, grey(to_eight(WIDE[..., 0], 65535)))
        both = turned(np.dstack([NOISE, ALPHA]), tag)
        data = tiff.encode(tiff.page(both, tiff.RGB, tags | {tiff.EXTRA: [2]}))
        yield Entry(f"tiff_turned{tag}_alpha.tif", data, on_white(NOISE, ALPHA))
    packed = {"compression": "tiff_lzw", "exif": oriented(6)}
    yield Entry("tiff_turned6_lzw.tif", saved(turned(NOISE, 6), "TIFF", packed), NOISE)
    one, two = tiff.page(NOISE, tiff.RGB), tiff.page(NOISE[::-1], tiff.RGB)
    stack = tiff.encode(one, two, one)
    yield Entry("tiff_stack.tif", stack, "3 pages")
    for k, right in enumerate((NOISE, NOISE[::-1], NOISE)):
        yield Entry(f"tiff_stack_page{k}.tif", stack, right, page=k)
    yield Entry("tiff_stack_page3.tif", stack, "the file holds 3 pages", page=3)
    wide_two = tiff.page(WIDE[::-1], tiff.RGB)
    stack = tiff.encode(tiff.page(WIDE, tiff.RGB), wide_two)
    yield Entry("tiff_stack16_page1.tif", stack, to_eight(WIDE[::-1], 65535), page=1)
    small = tiff.page(NOISE[:4, :4], tiff.RGB, {tiff.SUBFILE: [1]})
    yield Entry("tiff_with_thumbnail.tif", tiff.encode(one, small), NOISE)
    yield Entry("tiff_thumbnail_first.tif", tiff.encode(small, one), NOISE)
    yield Entry("tiff_cut.tif", saved(NOISE, "TIFF")[:300], "truncated or damaged")


GROUPS = (_tiff_depths, _tiff_channels, _tiff_others)
