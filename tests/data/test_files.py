import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import files, pairs, records

IDS = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)
COLOURS = {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 2, (1, 2, 3): 3}


def grey_png(bits, ids):
    """A grey PNG of 1, 2 or 4 bits a pixel, by hand: Pillow writes none."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b""
    for row in ids:
        number = 0
        for value in row:
            number = number << bits | int(value)
        number <<= -len(row) * bits % 8
        rows += b"\0" + number.to_bytes(-(-len(row) * bits // 8), "big")
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def palette_image(ids):
    image = Image.fromarray(ids).convert("L")
    coloured = Image.new("P", image.size)
    coloured.putdata(ids.ravel().tolist())
    coloured.putpalette([value for colour in COLOURS for value in colour])
    return coloured


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("grey.png", "grey 8 bit"),
        ("grey.bmp", "grey 8 bit"),
        ("grey.tif", "grey 8 bit"),
        ("palette.png", "palette"),
        ("rgb.png", "grey as RGB"),
        ("two.png", "grey 2 bit"),
        ("four.png", "grey 4 bit"),
    ],
)
def test_masks_give_ids_whatever_codes_them(tmp_path, name, kind):
    path = tmp_path / name
    if name in ("two.png", "four.png"):
        path.write_bytes(grey_png({"two.png": 2, "four.png": 4}[name], IDS))
    elif name == "palette.png":
        palette_image(IDS).save(path)
    else:
        image = Image.fromarray(IDS)
        (image.convert("RGB") if name == "rgb.png" else image).save(path)
    raw, found = files.read_mask(path)
    np.testing.assert_array_equal(raw, IDS)
    assert found == kind


def test_one_bit_and_sixteen_bits(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(grey_png(1, IDS % 2))
    np.testing.assert_array_equal(files.read_mask(path)[0], IDS % 2)
    wide = IDS.astype(np.uint16) * 1000
    Image.fromarray(wide).save(path)
    raw, kind = files.read_mask(path)
    np.testing.assert_array_equal(raw, wide)
    assert kind == "grey 16 bit"


def test_masks_by_colour(tmp_path):
    path = tmp_path / "a.png"
    rgb = np.array(list(COLOURS), np.uint8)[IDS]
    Image.fromarray(rgb).save(path)
    np.testing.assert_array_equal(files.read_mask(path, COLOURS)[0], IDS)
    palette_image(IDS).save(
        path
    )  # a palette file, too, is read by its colours when these are given
    np.testing.assert_array_equal(files.read_mask(path, COLOURS)[0], IDS)
    rgb[0, 0] = 9, 9, 9
    Image.fromarray(rgb).save(path)
    with pytest.raises(ValueError, match=r"no class has: 9,9,9 \(1 pixels\)"):
        files.read_mask(path, COLOURS)
    with pytest.raises(ValueError, match=r"coded by colours.*128,0,0 \(2 pixels\)"):
        files.read_mask(path)


def test_lossy_masks_are_refused(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(ValueError, match=r"is JPEG.*lossy"):
        files.read_mask(tmp_path / "a.png")


def exif_image():
    exif = Image.Exif()
    exif[274] = 6
    data = io.BytesIO()
    Image.new("RGB", (4, 2)).save(data, "JPEG", exif=exif)
    return data.getvalue()


def cut(data):
    return data[: len(data) * 2 // 3]


def noise(kind):
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "is missing"),
        (b"", "is no image"),
        (b"not an image", "is no image"),
        (cut(noise("JPEG")), "truncated"),
        (cut(noise("PNG")), "truncated"),
        (noise("GIF"), "is GIF"),
        (exif_image(), "EXIF orientation 6"),
    ],
)
def test_images_that_cannot_be_used_say_why(tmp_path, data, message):
    path = tmp_path / "a.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        files.image_size(path)


def test_wide_images_are_refused(tmp_path):
    Image.fromarray(IDS.astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="8 bits"):
        files.image_size(tmp_path / "a.png")


def test_sizes_must_agree(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    Image.fromarray(IDS).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b\.png is 2 x 4, its image is 3 x 4"):
        pairs.inspect(pairs.Pair("a", tmp_path / "a.png", tmp_path / "b.png"))


def test_records_keep_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(records.decode_image(records.encode_image(image), ""), image)
    for ids in (IDS, IDS.astype(np.uint16) * 9999):
        back = records.decode_label(records.encode_label(ids), "")
        np.testing.assert_array_equal(back, ids)
        assert back.dtype == ids.dtype
    with pytest.raises(ValueError, match="x 3: the image cannot"):
        records.decode_image(b"rubbish", "x 3")
    with pytest.raises(ValueError, match="x 3: the label is no grey"):
        records.decode_label(records.encode_image(image), "x 3")
    turned = records.decode_image(exif_image(), "")
    assert turned.shape == (2, 4, 3)  # as stored: masks are drawn on that
