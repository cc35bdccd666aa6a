"""Every kind of image file becomes upright uint8 RGB or is refused with a reason."""

import os
import pathlib
import unicodedata

import numpy as np
import pytest
from PIL import Image

from jaxseg.data.readers import photos, walk

HEIGHT, WIDTH = 24, 40


@pytest.fixture
def rgb():
    """Four corners of other colours, so that a turned or mirrored image is noticed."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:12, :20] = (250, 10, 20)
    image[:12, 20:] = (10, 240, 30)
    image[12:, :20] = (30, 20, 230)
    image[12:, 20:] = (200, 190, 40)
    return image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
def test_the_formats_give_the_same_pixels(tmp_path, rgb, suffix):
    path = tmp_path / f"a{suffix}"
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}
    Image.fromarray(rgb).save(path, **options.get(suffix, {}))
    read = photos.read(path)
    assert read.dtype == np.uint8
    assert read.shape == rgb.shape
    np.testing.assert_allclose(read.astype(int), rgb, atol=4 if suffix == ".jpg" else 0)


def _turn(image, orientation):
    """What a camera stores so that a viewer that honours `orientation` shows `image`."""
    stored = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: image.transpose(1, 0, 2)[::-1],
        7: image.transpose(1, 0, 2)[::-1, ::-1],
        8: image.transpose(1, 0, 2)[:, ::-1],
    }
    return np.ascontiguousarray(stored[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_is_honoured(tmp_path, rgb, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(_turn(rgb, orientation)).save(path, exif=exif)
    np.testing.assert_array_equal(photos.read(path), rgb)


def test_grey_palette_and_one_bit(tmp_path, rgb):
    grey = rgb[..., 1]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(photos.read(tmp_path / "grey.png"), np.stack([grey] * 3, -1))
    Image.fromarray(rgb).quantize(8).save(tmp_path / "palette.png")
    np.testing.assert_allclose(photos.read(tmp_path / "palette.png").astype(int), rgb, atol=3)
    bits = grey > 100
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(
        photos.read(tmp_path / "bits.png"), np.stack([255 * bits] * 3, -1)
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path, suffix):
    wide = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    path = tmp_path / f"wide{suffix}"
    Image.fromarray(wide).save(path)
    read = photos.read(path)
    np.testing.assert_array_equal(read[..., 0], np.rint(wide / 257))
    assert read.min() == 0
    assert read.max() == 255


def test_transparent_parts_lie_on_white(tmp_path, rgb):
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, 20:] = 0
    Image.fromarray(np.concatenate([rgb, alpha], -1)).save(tmp_path / "a.png")
    read = photos.read(tmp_path / "a.png")
    np.testing.assert_array_equal(read[:, :20], rgb[:, :20])
    assert (read[:, 20:] == 255).all()
    grey_alpha = np.stack([rgb[..., 0], alpha[..., 0]], -1)
    Image.fromarray(grey_alpha, mode=None).save(tmp_path / "la.png")
    assert (photos.read(tmp_path / "la.png")[:, 20:] == 255).all()


def test_cmyk(tmp_path, rgb):
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    read = photos.read(tmp_path / "a.jpg")
    np.testing.assert_allclose(read[4, 4].astype(int), rgb[4, 4], atol=6)
    np.testing.assert_allclose(read[20, 30].astype(int), rgb[20, 30], atol=6)


def test_what_is_not_an_image_is_refused_with_the_reason(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "whole.jpg")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        tmp_path / "whole.png"
    )
    cases = {
        "empty.jpg": (b"", "not an image"),
        "text.png": (b"not an image", "not an image"),
        "cut.jpg": ((tmp_path / "whole.jpg").read_bytes()[:400], "truncated"),
        "cut.png": ((tmp_path / "whole.png").read_bytes()[:4000], "truncated"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            photos.read(tmp_path / name)
    Image.fromarray(rgb[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match="floating-point"):
        photos.read(tmp_path / "float.tif")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_folders_are_searched_in_depth_sorted_without_the_output(tmp_path):
    touch(tmp_path, "b.jpg", "a.PNG", "sub/deep/c.tif", "notes.txt", "out/labels/b.png")
    found, left_out = photos.find([tmp_path], without=tmp_path / "out")
    assert [photo.name for photo in found] == ["a", "b", "sub/deep/c"]
    assert found[2].file == tmp_path / "sub/deep/c.tif"
    assert not any(photo.renamed for photo in found)
    assert walk.text(left_out, tmp_path) == (
        "notes.txt is not an image by its suffix; out/ is the output of this command"
    )


def test_photos_inside_the_output_are_found(tmp_path):
    """Regression: a folder that is its own output held no image."""
    touch(tmp_path, "a.png", "labels/a.png", "overlays/a.jpg", "sub/labels/b.png")
    found, _ = photos.find([tmp_path], without=tmp_path)
    assert [photo.name for photo in found] == ["a", "sub/labels/b"]
    (photo,) = photos.find([tmp_path / "sub"], without=tmp_path).photos
    assert photo.name == "labels/b"


def test_eight_of_twelve_files_and_what_the_other_four_are(tmp_path):
    touch(tmp_path, *(f"{i}.jpg" for i in range(8)))
    touch(tmp_path, "._0.jpg", ".DS_Store", "notes.txt", "Thumbs.db")
    touch(tmp_path, ".ipynb_checkpoints/0-checkpoint.jpg", "__MACOSX/0.jpg")
    found, left_out = photos.find([tmp_path])
    assert [photo.name for photo in found] == [str(i) for i in range(8)]
    assert sum(not left.folder for left in left_out) == 4
    said = walk.text(left_out, tmp_path)
    for words in (
        "._0.jpg, .ipynb_checkpoints/ have a name that begins with a dot",
        "notes.txt is not an image by its suffix",
        "__MACOSX/ are created by the system",
    ):
        assert words in said


def test_linked_folders_are_searched_and_circles_are_noticed(tmp_path):
    touch(tmp_path, "elsewhere/a.jpg", "photos/b.jpg")
    (tmp_path / "photos" / "link").symlink_to("../elsewhere")
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "photos" / "lost").symlink_to("nowhere")
    (tmp_path / "photos" / "self").symlink_to("self")
    found, left_out = photos.find([tmp_path / "photos"])
    assert [photo.name for photo in found] == ["b", "gone", "link/a"]
    said = walk.text(left_out, tmp_path / "photos")
    assert f"again/ is a link to {tmp_path}/photos, which contains it" in said
    assert "lost is a link to nowhere, which is missing" in said
    assert [left.path.name for left in left_out if left.fault] == ["lost", "self"]
    with pytest.raises(ValueError, match="missing"):
        photos.read(tmp_path / "photos" / "gone.jpg")


def test_names_that_cannot_be_printed_are_left_out(tmp_path):
    touch(tmp_path, "a.jpg")
    (pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))).touch()
    found, left_out = photos.find([tmp_path])
    assert [photo.name for photo in found] == ["a"]
    assert left_out[0].fault
    assert walk.text(left_out, tmp_path).encode() == (
        b"\\udcff.jpg has a name that is not UTF-8: rename it"
    )


def test_equal_names_are_told_apart(tmp_path):
    names = ("a.jpg", "a.png", "b.jpg", "x/a.jpg", "A.JPG")
    touch(tmp_path / "one", *names)
    touch(tmp_path / "two", "b.jpg")
    found, _ = photos.find([tmp_path / "one", tmp_path / "two", tmp_path / "one" / "b.jpg"])
    by_name = {photo.name: photo for photo in found}
    assert len(by_name) == len(found) == 6  # b.jpg, given twice, is one
    assert len({name.casefold() for name in by_name}) == 6
    assert {"a.png", "x/a", "b.jpg", "b.jpg_2"} <= set(by_name)
    assert {photo.name for photo in found if not photo.renamed} == {"x/a"}


def test_a_name_in_two_unicode_forms_gets_two_names(tmp_path):
    """They would be one file on macOS."""
    touch(tmp_path, "caf\u00e9.jpg", "cafe\u0301.png")
    found, _ = photos.find([tmp_path])
    assert all(photo.renamed for photo in found)
    assert len({unicodedata.normalize("NFC", photo.name) for photo in found}) == 2


def test_a_file_of_any_suffix_can_be_given_by_itself_and_missing_ones_are_named(tmp_path):
    (tmp_path / "upload").touch()
    assert photos.find([tmp_path / "upload"]).photos[0].name == "upload"
    with pytest.raises(FileNotFoundError, match="gone: no such file or folder"):
        photos.find([tmp_path / "gone"])
    with pytest.raises(ValueError, match=f"no image in {tmp_path}: looked for .jpg .*upload is"):
        photos.find([pathlib.Path(tmp_path)])
    with pytest.raises(ValueError, match="no image is given"):
        photos.find([])
