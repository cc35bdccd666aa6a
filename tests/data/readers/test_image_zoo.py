"""Files of every kind, through preparation and the loader's source and through prediction."""

import pathlib
import re

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments.robustness.image_zoo import images, masks, png, tiff
from experiments.robustness.image_zoo.entry import COLOURS, IDS, NOISE, Entry, saved, turned
from jaxseg.data import loader, records
from jaxseg.data.pairing import pairs
from jaxseg.data.prepare import prepare
from jaxseg.data.readers import image_file, image_headers, mask_file, photos, pixels

IMAGES = {entry.name: entry for entry in images.entries()}
MASKS = {entry.name: entry for entry in masks.entries()}


def write(folder: pathlib.Path, entry: Entry) -> pathlib.Path:
    path = folder / entry.name
    path.write_bytes(entry.data)
    return path


def test_every_file_of_the_zoo_has_its_own_name():
    stems = [pathlib.PurePath(name).stem.lower() for name in [*IMAGES, *MASKS]]
    assert len(set(stems)) == len(stems) > 250


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_read_as_they_were_made_or_refused(tmp_path, name):
    entry = IMAGES[name]
    path = write(tmp_path, entry)
    if isinstance(entry.right, str):
        with pytest.raises(ValueError, match=re.escape(entry.right)):
            pixels.read_image(path, entry.page)
        if entry.page is None:
            with pytest.raises(ValueError, match=re.escape(entry.right)):
                photos.read(path)
        return
    read = pixels.read_image(path, entry.page)
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read.astype(int), entry.right, rtol=0, atol=entry.off)
    kept = pixels.stored(path, entry.page)
    np.testing.assert_array_equal(records.decode_image(kept, ""), read)
    if entry.page is None:
        np.testing.assert_array_equal(photos.read(path), read)
        np.testing.assert_array_equal(records.decode_image(entry.data, ""), read)  # older sets


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_read_as_they_were_made_or_refused(tmp_path, name):
    entry = MASKS[name]
    path = write(tmp_path, entry)
    colours = COLOURS if entry.colours else None
    if isinstance(entry.right, str):
        with pytest.raises(ValueError, match=re.escape(entry.right)):
            mask_file.read_mask(path, colours, entry.page)
        return
    raw, _ = mask_file.read_mask(path, colours, entry.page)
    assert raw.dtype in (np.uint8, np.uint16)
    np.testing.assert_array_equal(raw, entry.right)


def _own_set(tmp_path, chosen_images, chosen_masks, classes):
    """Files of the zoo beside plain partners, as a folder of one's own."""
    for entry in chosen_images:
        (tmp_path / "images").mkdir(exist_ok=True)
        write(tmp_path / "images", entry)
        path = tmp_path / "masks" / f"{pathlib.PurePath(entry.name).stem}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros(entry.right.shape[:2], np.uint8)).save(path)
    for entry in chosen_masks:
        (tmp_path / "masks").mkdir(exist_ok=True)
        write(tmp_path / "masks", entry)
        path = tmp_path / "images" / f"{pathlib.PurePath(entry.name).stem}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((*entry.right.shape, 3), np.uint8)).save(path)
    (tmp_path / "classes.txt").write_text(classes)
    arguments = [f"--{part}={tmp_path / part}" for part in ("images", "masks")]
    return [
        "prepare",
        "--name=folder/zoo",
        f"--data_dir={tmp_path / 'data'}",
        "--val_share=0",
        f"--classes={tmp_path / 'classes.txt'}",
        *arguments,
    ]


def readable(entries, colours=False):
    return [
        entry
        for entry in entries.values()
        if isinstance(entry.right, np.ndarray) and entry.page is None and entry.colours == colours
    ]


def test_what_was_prepared_is_what_prediction_reads(tmp_path):
    """Every readable image and mask of the zoo in one set, prepared and opened for training."""
    classes = "\n".join(f"{k} class{k}" for k in range(254))
    of_images = readable(IMAGES)
    of_masks = [entry for entry in readable(MASKS) if entry.right.max() < 254]
    with flagsaver.flagsaver():
        flags.FLAGS(_own_set(tmp_path, of_images, of_masks, classes))
        prepare.prepare("folder/zoo", tmp_path / "data")
    source = loader.open_split("folder/zoo", "train", tmp_path / "data")
    assert len(source) == len(of_images) + len(of_masks) > 190
    found = {example["name"]: example for example in (source[i] for i in range(len(source)))}
    for entry in of_images:
        path = tmp_path / "images" / entry.name
        image = found[path.stem]["image"]
        np.testing.assert_array_equal(image, photos.read(path), err_msg=entry.name)
        np.testing.assert_allclose(image.astype(int), entry.right, rtol=0, atol=entry.off)
    for entry in of_masks:
        label = found[pathlib.PurePath(entry.name).stem]["label"]
        np.testing.assert_array_equal(label, entry.right, err_msg=entry.name)


def test_plain_files_are_kept_byte_by_byte_and_no_others(tmp_path):
    plain = {
        "png_grey8",
        "png_rgb8",
        "png_filtered",
        "png_gamma",
        "png_icc",
        "png_cicp",
        "png_sbit",
        "png_text",
        "png_grey8_adam7",
        "png_rgb8_adam7",
        "jpeg_444",
        "png_no_suffix_of_its_own",
        "png_turned1",
    }
    for name in ("jpeg_turned6_mm.jpg", "jpeg_of_a_phone.jpg", "jpeg_grey.jpg", "jpeg_rgb.jpg"):
        assert pixels.stored(write(tmp_path, IMAGES[name])) == IMAGES[name].data
    for entry in readable(IMAGES):
        kept = pixels.stored(write(tmp_path, entry))
        stem = pathlib.PurePath(entry.name).stem
        if stem in plain - {"png_turned1"}:
            assert kept == entry.data, entry.name
        elif kept != entry.data:
            assert image_headers.plain(kept), entry.name
            assert not image_headers.plain(entry.data), entry.name


def test_every_mode_of_pillow_is_an_image_or_refused_by_name(tmp_path):
    """Whatever a mode, and whatever format can hold it: right size and bytes, or a reason."""
    for mode in sorted(Image.MODES):
        for kind in ("PNG", "TIFF", "BMP", "GIF", "JPEG", "WEBP"):
            path = tmp_path / f"{mode.replace(';', '')}.{kind.lower()}"
            try:
                Image.new(mode, (7, 5)).save(path, kind)
            except (OSError, ValueError, KeyError):
                continue  # the format has no such mode
            for read in (pixels.read_image, mask_file.read_mask):
                words, shape = "", (5, 7)
                try:
                    result = read(path)
                    shape = (result if isinstance(result, np.ndarray) else result[0]).shape
                except ValueError as error:
                    words = str(error)
                assert words.partition(" ")[0] in ("", "is", "has", "holds"), (mode, kind, words)
                assert "truncated" not in words, (mode, kind, words)
                assert shape[:2] == (5, 7), (mode, kind)


def test_a_turned_image_and_a_mask_drawn_on_what_is_stored_say_why_they_differ(tmp_path):
    stored = png.encode(turned(NOISE, 6), 8, png.RGB, png.chunk(b"eXIf", png.exif(6)))
    (tmp_path / "a.png").write_bytes(stored)
    Image.fromarray(turned(IDS, 6)).save(tmp_path / "m.png")
    pair = pairs.Pair("a", tmp_path / "a.png", tmp_path / "m.png")
    with pytest.raises(
        ValueError,
        match=r"m\.png is 21 x 13, but its image is 13 x 21; the image is "
        "rotated by its EXIF orientation 6.*without the tag",
    ):
        pairs.inspect(pair)
    Image.fromarray(IDS).save(tmp_path / "m.png")
    assert pairs.inspect(pair).orientation == 6
    tag = png.chunk(b"eXIf", png.exif(6))
    (tmp_path / "m.png").write_bytes(png.encode(turned(IDS, 6), 8, png.GREY, tag))
    assert pairs.inspect(pair).counts == {k: int((k == IDS).sum()) for k in range(4)}


def test_images_that_a_tag_turns_are_mentioned(tmp_path, capsys):
    """A mask of a square or of a half turn fits either way: so it is said how it is taken."""
    stored = png.encode(turned(NOISE, 3), 8, png.RGB, png.chunk(b"eXIf", png.exif(3)))
    (tmp_path / "a.png").write_bytes(stored)
    Image.fromarray(IDS).save(tmp_path / "m.png")
    pair = pairs.Pair("a", tmp_path / "a.png", tmp_path / "m.png")
    published = pairs.Published({"train": [pair]}, prepare.folders.any_id())
    pairs.check(published, tmp_path / "j" / "checked.jsonl")
    assert "1 image is rotated by the EXIF orientation" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_the_limit_of_pixels_is_a_flag_that_the_message_names(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(NOISE).save(path)
    limits = ((272, "has 21 x 13 pixels, more than --max_image_pixels=272"), (100, "twice"))
    for limit, message in limits if suffix != ".png" else limits[:1]:
        with flagsaver.flagsaver():
            flags.FLAGS(["test", f"--max_image_pixels={limit}"])
            for read in (pixels.read_image, mask_file.read_mask, photos.read):
                if read is mask_file.read_mask and suffix == ".jpg":
                    continue
                with pytest.raises(ValueError, match=r"--max_image_pixels=.*0: no limit"):
                    read(path)
            if limit > 200:
                with pytest.raises(ValueError, match=message):
                    pixels.read_image(path)
    for limit in (273, 0):
        with flagsaver.flagsaver():
            flags.FLAGS(["test", f"--max_image_pixels={limit}"])
            assert photos.read(path).shape == (13, 21, 3)


def test_pages_are_counted_without_thumbnails(tmp_path):
    for name, count in (("tiff_stack.tif", 3), ("tiff_with_thumbnail.tif", 1), ("empty.png", 0)):
        assert mask_file.pages(write(tmp_path, IMAGES[name])) == count


def test_a_label_with_more_than_numbers_in_it_is_rewritten(tmp_path):
    for name in ("m_png8_key.png", "m_png16_key.png", "m_png_turned6.png", "m_png8_palette.png"):
        assert not records.keeps_label(MASKS[name].data)
    for name in ("m_png8.png", "m_png16.png", "m_png8_adam7.png", "m_png8_filtered.png"):
        assert records.keeps_label(MASKS[name].data)
        raw = records.decode_label(MASKS[name].data, "")
        np.testing.assert_array_equal(raw, MASKS[name].right)


def test_matlab_files_of_fractions_are_refused(tmp_path):
    import scipy.io

    for values, words in (
        (IDS + 0.5, "not ids"),
        (np.full((2, 2), np.nan), "not ids"),
        (IDS.astype(complex), "does not hold a map"),
    ):
        scipy.io.savemat(tmp_path / "a.mat", {"LabelMap": values})
        with pytest.raises(ValueError, match=words):
            mask_file.read_mask(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "a.mat", {"LabelMap": IDS.astype(float)})
    np.testing.assert_array_equal(mask_file.read_mask(tmp_path / "a.mat")[0], IDS)


def test_a_stack_is_pages_where_somebody_says_so(tmp_path):
    stack = tmp_path / "a.tif"
    stack.write_bytes(tiff.encode(*[tiff.page(NOISE, tiff.RGB)] * 3))
    (tmp_path / "m.tif").write_bytes(tiff.encode(*[tiff.page(IDS, tiff.BLACK_IS_ZERO)] * 3))
    with pytest.raises(ValueError, match=r"a\.tif holds 3 pages"):
        pairs.inspect(pairs.Pair("a", stack, tmp_path / "m.tif"))
    for page in range(3):
        assert pairs.inspect(pairs.Pair("a", stack, tmp_path / "m.tif", page=page)).height == 13


def test_an_orientation_of_a_file_that_cannot_be_read_is_none(tmp_path):
    assert image_file.orientation(tmp_path / "absent.png") == 1
    assert image_file.orientation(saved(NOISE, "PNG")) == 1
