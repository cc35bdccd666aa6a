"""E and F. Pixels never lose precision silently; training and prediction read the same picture."""

import functools
import io
import pathlib
from collections.abc import Callable

import numpy as np
import scipy.io
from absl.testing import flagsaver

from experiments.robustness.field_reports.situation import Seen, Situation, check, refusal, right
from experiments.robustness.image_zoo import images, masks, png
from experiments.robustness.image_zoo.entry import COLOURS, IDS, NOISE, Entry, saved, turned
from jaxseg.data import records
from jaxseg.data.builders import folder as folders
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import mask_file, photos, pixels

_TEST = "tests/data/readers/test_image_zoo.py::"
_IMAGES = f"{_TEST}test_images_are_read_as_they_were_made_or_refused"
_MASKS = f"{_TEST}test_masks_are_read_as_they_were_made_or_refused"


@functools.cache
def _zoo() -> dict[str, Entry]:
    return {entry.name: entry for entry in [*images.entries(), *masks.entries()]}


def _written(folder: pathlib.Path, entry: Entry) -> pathlib.Path:
    path = folder / entry.name
    path.write_bytes(entry.data)
    return path


def _in_training(image: pathlib.Path, mask: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels and ids that the loader decodes from the prepared data."""
    pair = pairs.Pair("a", image, mask)
    pairs.inspect(pair)
    published = pairs.Published({"train": [pair]}, folders.any_id())
    ((_, example),) = pairs.examples(published, "train")
    parts = []
    for part in ("image", "label"):
        content = example[part]
        check(isinstance(content, io.BytesIO), "no bytes are kept")
        assert isinstance(content, io.BytesIO)
        parts.append(content.getvalue())
    return records.decode_image(parts[0], "a"), records.decode_label(parts[1], "a")


def _image(name: str) -> Callable[[pathlib.Path], Seen]:
    def run(folder: pathlib.Path) -> Seen:
        entry = _zoo()[name]
        path = _written(folder, entry)
        if isinstance(entry.right, str):
            refusal(lambda: photos.read(path), entry.right)
            return refusal(lambda: pixels.read_image(path), entry.right)
        mask = folder / "mask.png"
        mask.write_bytes(saved(np.zeros(entry.right.shape[:2], np.uint8), "PNG"))
        trained, _ = _in_training(path, mask)
        predicted = photos.read(path)
        check(np.array_equal(trained, predicted), "training and prediction see other pixels")
        off = int(np.abs(predicted.astype(int) - entry.right).max())
        return right(off <= entry.off, f"both read all pixels as they were made, at most {off} off")

    return run


def _mask(name: str) -> Callable[[pathlib.Path], Seen]:
    def run(folder: pathlib.Path) -> Seen:
        entry = _zoo()[name]
        path = _written(folder, entry)
        colours = COLOURS if entry.colours else None
        if isinstance(entry.right, str):
            return refusal(lambda: mask_file.read_mask(path, colours), entry.right)
        raw, kind = mask_file.read_mask(path, colours)
        same = np.array_equal(raw, entry.right)
        return right(same, f"ids {int(raw.min())} to {int(raw.max())} ({kind}) as they were made")

    return run


def _all(entries: Callable[[], list[Entry]], of: Callable[[str], Callable]) -> Callable:
    def run(folder: pathlib.Path) -> Seen:
        outcomes = []
        for entry in entries():
            if entry.page is None:
                own = folder / pathlib.PurePath(entry.name).stem
                own.mkdir()
                outcomes.append(of(entry.name)(own).outcome)
        read = outcomes.count("right value")
        return right(True, f"{read} read rightly, {len(outcomes) - read} refused by name")

    return run


def _mask_of_what_is_stored(folder: pathlib.Path) -> Seen:
    tag = png.chunk(b"eXIf", png.exif(6))
    (folder / "a.png").write_bytes(png.encode(turned(NOISE, 6), 8, png.RGB, tag))
    (folder / "m.png").write_bytes(saved(turned(IDS, 6), "PNG"))
    pair = pairs.Pair("a", folder / "a.png", folder / "m.png")
    return refusal(lambda: pairs.inspect(pair), "m.png is 21 x 13", "EXIF", "without the tag")


def _too_large(folder: pathlib.Path) -> Seen:
    path = _written(folder, _zoo()["png_rgb8.png"])
    with flagsaver.flagsaver(max_image_pixels=272):
        for read in (pixels.read_image, mask_file.read_mask, photos.read):
            seen = refusal(functools.partial(read, path), "--max_image_pixels=272", "0: no limit")
    with flagsaver.flagsaver(max_image_pixels=273):
        check(photos.read(path).shape == (13, 21, 3), "the flag lifts nothing")
    return seen


def _fractions(folder: pathlib.Path) -> Seen:
    scipy.io.savemat(folder / "a.mat", {"LabelMap": IDS + 0.5})
    return refusal(lambda: mask_file.read_mask(folder / "a.mat"), "not ids from 0 to 65535")


def _of_mask(name: str, title: str, before: str) -> Situation:
    return Situation("E", title, before, f"{_MASKS}[{name}]", _mask(name))


def _of_image(letter: str, name: str, title: str, before: str) -> Situation:
    return Situation(letter, title, before, f"{_IMAGES}[{name}]", _image(name))


SITUATIONS = (
    _of_mask("m_png_rgb16_ids_0_and_1.png", "A 16-bit RGB mask with ids 0 and 1", "all 0"),
    _of_mask("m_png16_la_opaque.png", "A 16-bit grey mask with an opaque alpha", "all 0"),
    _of_mask("m_png8_rgba_shape.png", "An RGBA mask whose shape is in its alpha", "all 0"),
    _of_mask(
        "m_png8_rgba_holes.png",
        "An RGBA mask of ids that is transparent in parts",
        "ids under transparent parts taken as they are",
    ),
    _of_mask("m_colour_clear_ground.png", "A colour mask with a transparent ground", "all class 1"),
    _of_mask(
        "m_colour_palette_alike.png",
        "A palette mask with entries that differ only in transparency",
        "all class 1",
    ),
    _of_mask(
        "m_colour_rgb16_more.png", "16-bit colours without an 8-bit equivalent", "cut to 8 bits"
    ),
    _of_mask("m_tiff4.tif", "Grey ids 0 to 3 of 4 bits (TIFF)", "0, 17, 34, 51"),
    _of_mask("m_tiff2.tif", "Grey ids 0 to 3 of 2 bits (TIFF)", "0, 85, 170, 255"),
    _of_mask("m_png4.png", "Grey ids 0 to 3 of 4 bits (PNG)", "right"),
    _of_mask("m_tiff8_white0.tif", "A TIFF mask in which 0 is white", "255 less the ids"),
    _of_mask("m_tiff_jpeg.tif", "A TIFF mask with JPEG compression", "ids 1 to 3 of 0 to 3"),
    _of_mask(
        "m_tiff_turned6.tif",
        "A TIFF mask with an EXIF orientation",
        "not turned (Pillow forgets it where it maps the file)",
    ),
    _of_mask("m_png_turned6.png", "A PNG mask with an EXIF orientation", "not turned"),
    _of_mask("m_tiff_stack.tif", "A TIFF mask of three pages", "the first page"),
    _of_mask("m_gif_animated.gif", "An animated GIF as a mask", "the first frame"),
    _of_mask("m_tiff_four.tif", "A four-band TIFF as a mask", "the first three bands"),
    _of_mask("m_tiff_float32.tif", "A mask of floating-point numbers", "right"),
    _of_mask("m_bmp_rgba.bmp", "A 32-bit BMP mask", "its fourth byte dropped"),
    Situation(
        "E",
        "A MATLAB mask with fractions",
        "rounded down",
        f"{_TEST}test_matlab_files_of_fractions_are_refused",
        _fractions,
    ),
    _of_image("E", "tiff_stack.tif", "A TIFF image of three pages", "the first page"),
    _of_image(
        "E",
        "tiff_four_no_tag.tif",
        "A four-band TIFF that names no alpha",
        "RGB in training, the fourth as alpha in prediction",
    ),
    _of_image(
        "E", "tiff_four_planar.tif", "A four-band TIFF, band after band", "right (not an image)"
    ),
    _of_image("E", "tiff_five_unknown.tif", "A five-band TIFF", "RGB"),
    _of_image("E", "png_rgb16.png", "A 16-bit RGB image", "cut to the upper 8 bits"),
    _of_image("E", "tiff_planar16.tif", "A 16-bit RGB TIFF, plane after plane", "mixed up"),
    _of_image(
        "E",
        "tiff_grey12.tif",
        "A 12-bit grey image",
        "refused in training, a sixteenth as bright in prediction",
    ),
    _of_image(
        "E",
        "tiff_grey16_white0.tif",
        "A 16-bit TIFF in which 0 is white",
        "refused in training, a negative in prediction",
    ),
    _of_image(
        "E", "tiff_turned6_grey.tif", "A grey TIFF with an EXIF orientation", "scrambled rows"
    ),
    _of_image(
        "E", "tiff_thumbnail_first.tif", "A TIFF whose first page is a thumbnail", "the thumbnail"
    ),
    _of_image("E", "tiff_lab.tif", "A CIELAB TIFF", "wrong colours"),
    _of_image(
        "E",
        "jpeg_cmyk.jpg",
        "A CMYK JPEG without Adobe's marker",
        "read as Adobe's, which is a guess",
    ),
    _of_image("E", "png_index_beyond.png", "Palette indices beyond the palette", "black"),
    Situation(
        "E",
        "Every mask of the zoo",
        "36 of 112 wrong, 17 refused",
        _MASKS,
        _all(masks.entries, _mask),
    ),
    Situation(
        "F",
        "Every image of the zoo, in training and in prediction",
        "of 195, 56 wrong in training, 49 in prediction, 44 good ones refused by training",
        _IMAGES,
        _all(images.entries, _image),
    ),
    _of_image("F", "png_cut_out.png", "A cut-out RGBA photo", "other pixels in training"),
    _of_image(
        "F",
        "jpeg_turned6_ii.jpg",
        "A phone's JPEG with EXIF orientation 6",
        "refused by prepare, read by predict",
    ),
    _of_image(
        "F",
        "jpeg_turned0_mm.jpg",
        "An undefined EXIF orientation",
        "refused by prepare, read by predict",
    ),
    _of_image(
        "F",
        "jpeg_turned8_xmp.jpg",
        "An orientation in XMP alone",
        "refused by prepare, read by predict",
    ),
    _of_image("F", "tiff_rgb8_ii.tiff", "A TIFF image", "right"),
    _of_image("F", "webp_rgba.webp", "A WEBP image", "refused by prepare, read by predict"),
    _of_image("F", "png_grey16.png", "A 16-bit PNG", "refused by prepare, read by predict"),
    _of_image("F", "GIF_palette.gif", "A GIF image", "read by prepare, refused by predict"),
    _of_image(
        "F",
        "png_palette8_clear.png",
        "A palette with transparent entries",
        "other pixels in training",
    ),
    _of_image("F", "png_rgb8_key.png", "A transparent colour", "other pixels in training"),
    _of_image("F", "jpeg_cmyk_adobe.jpg", "A CMYK JPEG", "other pixels in training"),
    _of_image(
        "F", "png_no_end.png", "A PNG without its last chunk", "refused by prepare, read by predict"
    ),
    _of_image("F", "bmp_alpha.bmp", "A BMP with alpha", "other pixels in training"),
    Situation(
        "F",
        "A mask drawn on what is stored of a turned image",
        "the image refused",
        f"{_TEST}test_a_turned_image_and_a_mask_drawn_on_what_is_stored_say_why_they_differ",
        _mask_of_what_is_stored,
    ),
    Situation(
        "F",
        "An image above the limit of the decoder",
        "no way out is named",
        f"{_TEST}test_the_limit_of_pixels_is_a_flag_that_the_message_names",
        _too_large,
    ),
)
