import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import records
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import mask_file, pixels

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
    raw, found = mask_file.read_mask(path)
    np.testing.assert_array_equal(raw, IDS)
    assert found == kind


def test_one_bit_and_sixteen_bits(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(grey_png(1, IDS % 2))
    np.testing.assert_array_equal(mask_file.read_mask(path)[0], IDS % 2)
    wide = IDS.astype(np.uint16) * 1000
    Image.fromarray(wide).save(path)
    raw, kind = mask_file.read_mask(path)
    np.testing.assert_array_equal(raw, wide)
    assert kind == "grey 16 bit"


def test_masks_by_colour(tmp_path):
    path = tmp_path / "a.png"
    rgb = np.array(list(COLOURS), np.uint8)[IDS]
    Image.fromarray(rgb).save(path)
    np.testing.assert_array_equal(mask_file.read_mask(path, COLOURS)[0], IDS)
    palette_image(IDS).save(
        path
    )  # a palette file, too, is read by its colours when these are given
    np.testing.assert_array_equal(mask_file.read_mask(path, COLOURS)[0], IDS)
    rgb[0, 0] = 9, 9, 9
    Image.fromarray(rgb).save(path)
    with pytest.raises(ValueError, match=r"no class has: 9,9,9 \(1 pixels\)"):
        mask_file.read_mask(path, COLOURS)
    with pytest.raises(ValueError, match=r"encoded by colours.*128,0,0 \(2 pixels\)"):
        mask_file.read_mask(path)


def test_lossy_masks_are_refused(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(ValueError, match=r"is JPEG.*lossy"):
        mask_file.read_mask(tmp_path / "a.png")


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
        (b"", "is not an image"),
        (b"not an image", "is not an image"),
        (cut(noise("JPEG")), "truncated"),
        (cut(noise("PNG")), "truncated"),
    ],
)
def test_images_that_cannot_be_used_say_why(tmp_path, data, message):
    path = tmp_path / "a.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        pixels.read_image(path)


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_images_of_other_kinds_become_png_without_loss(tmp_path, kind):
    (tmp_path / "a.jpg").write_bytes(noise(kind))  # as some of Oxford-IIIT Pet's are
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB"))
    np.testing.assert_array_equal(pixels.read_image(tmp_path / "a.jpg"), expected)
    data = pixels.stored(tmp_path / "a.jpg")
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(records.decode_image(data, ""), expected)


def test_the_digest_of_a_list_does_not_depend_on_its_order():
    digest = mask_file.digest(["b", "a"])
    assert digest == hashlib.sha256(b"a\nb\n").hexdigest()  # sort LIST.txt | sha256sum
    assert digest == mask_file.digest(["a", "b"]) != mask_file.digest(["a", "c"])


def test_sizes_must_agree(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    Image.fromarray(IDS).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b\.png is 2 x 4, but its image is 3 x 4"):
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
    with pytest.raises(ValueError, match="x 3: the label is not a grey"):
        records.decode_label(records.encode_image(image), "x 3")


def test_pages_of_a_tiff_image_become_png_without_loss(tmp_path):
    rng = np.random.default_rng(0)
    pages = [rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), rng.integers(0, 256, (4, 6), "uint8")]
    path = tmp_path / "a.tif"
    first, second = (Image.fromarray(page) for page in pages)
    first.save(path, save_all=True, append_images=[second])
    assert mask_file.pages(path) == 2
    for k, page in enumerate(pages):
        data = pixels.stored(path, k)
        assert data[:4] == b"\x89PNG"
        rgb = page if page.ndim == 3 else np.repeat(page[..., None], 3, -1)
        np.testing.assert_array_equal(records.decode_image(data, ""), rgb)
    np.testing.assert_array_equal(mask_file.read_mask(path, page=1)[0], pages[1])
    with pytest.raises(ValueError, match="is missing: the file holds 2 pages"):
        pixels.read_image(path, 2)
    first.save(tmp_path / "a.png")
    assert pixels.stored(tmp_path / "a.png") == (tmp_path / "a.png").read_bytes()
    assert mask_file.pages(tmp_path / "absent.tif") == 0


def test_trainval_may_hold_what_is_in_val(tmp_path):
    both = [pairs.Pair(str(k), tmp_path / "a.tif", tmp_path / "b.tif", page=k) for k in range(3)]
    assert not pairs.doubled({"train": both[:2], "val": both[2:], "trainval": both})
    assert pairs.doubled({"train": both, "val": both[2:]}) == [
        f"{tmp_path / 'a.tif'} page 2 is both in train and in val"
    ]
    assert len(pairs.doubled({"trainval": [*both, both[0]]})) == 1
