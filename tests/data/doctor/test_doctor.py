"""Folders with planted faults: the doctor names each of them, and counts what is there."""

import re

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.data.doctor import augmented, doctor
from tests.data.conftest import save_pair

SIZE = (24, 32)
CLASSES = "0 sky\n1 road\n2 car\n5 ship\n255 void\n"


@pytest.fixture
def own(tmp_path):
    """Five training and three validation pairs of ids 0, 1, 2; the flags that name them."""
    for i in range(8):
        split = "train" if i < 5 else "val"
        save_pair(
            tmp_path / "images" / split / f"{i}.png", tmp_path / "masks" / split / f"{i}.png", i
        )
    (tmp_path / "classes.txt").write_text(CLASSES)
    return tmp_path


def mask_of(root, split, i):
    return root / "masks" / split / f"{i}.png"


def image_of(root, split, i):
    return root / "images" / split / f"{i}.png"


def change(path, edit):
    """Rewrites a mask as grey after `edit` has changed its ids."""
    ids = np.array(Image.open(path))
    edit(ids)
    Image.fromarray(ids).save(path)


@pytest.fixture
def examine(command, own):
    """The doctor on the folders: exit status, text, and what follows "problems:"."""

    def run(*more, classes=True):
        flags = ["--name=folder/own", f"--images={own / 'images'}", f"--masks={own / 'masks'}"]
        flags += [f"--classes={own / 'classes.txt'}"] if classes else []
        picture = [] if any("--picture" in flag for flag in more) else ["--picture=none"]
        status, out, err = command(doctor.main, *flags, *picture, *more)
        found = re.search(r"^(\d+) problems?:\n((?:  .*\n)+)", out, re.MULTILINE)
        problems = found[2].splitlines() if found else []
        assert not found or len(problems) == int(found[1])
        return status, out + err, [line.strip() for line in problems]

    return run


def test_nothing_wrong(examine):
    status, text, problems = examine()
    assert (status, problems) == (0, [])
    assert "No problems were found." in text
    assert "train: 5 examples" in text
    assert "val: 3 examples" in text
    assert "24 x 32 (5)" in text


def test_ids_outside_the_classes_are_named_with_their_files(examine, own):
    change(mask_of(own, "train", 1), lambda ids: ids[0, :3].fill(7))
    change(mask_of(own, "train", 3), lambda ids: ids[0, :2].fill(7))
    change(mask_of(own, "val", 6), lambda ids: ids[1, :1].fill(254))
    status, text, problems = examine()
    assert status == 1
    assert problems == [
        "train: id 7 is in no class (5 pixels of 2 masks): train/1, train/3",
        "val: id 254 is in no class (1 pixels of 1 masks): val/6",
        f"{own}/classes.txt: no class has the ids 7, 254: add a line for each, such as `7 NAME` or "
        "`7 void`",
    ]
    assert re.search(r"^ +7 +UNKNOWN ", text, re.MULTILINE)


def test_a_missing_void_is_proposed(examine, own):
    (own / "classes.txt").write_text("0 sky\n1 road\n2 car\n")
    change(mask_of(own, "train", 0), lambda ids: ids[0].fill(255))
    assert examine()[2] == [
        "train: id 255 is in no class (32 pixels of 1 masks): train/0",
        f"{own}/classes.txt: if 255 is void, add the line `255 void`",
    ]


def test_many_names_are_counted_not_listed(examine, own):
    for i in range(20):
        save_pair(image_of(own, "train", 100 + i), mask_of(own, "train", 100 + i), 100 + i)
        change(mask_of(own, "train", 100 + i), lambda ids: ids[0, :1].fill(9))
    problem, _ = examine()[2]
    assert "20 pixels of 20 masks" in problem
    assert problem.endswith("train/111 and 8 more")


def test_a_size_that_differs(examine, own):
    Image.fromarray(np.zeros((24, 33), np.uint8)).save(mask_of(own, "val", 5))
    assert examine()[2] == ["val: val/5: the mask is 24 x 33, but the image 24 x 32"]


def test_palette_among_grey(examine, own):
    path = mask_of(own, "train", 2)
    ids = np.array(Image.open(path))
    coloured = Image.fromarray(ids, mode="L")
    coloured.putpalette(bytes(range(256)) * 3)
    coloured.save(path)
    assert Image.open(path).mode == "P"
    status, _, problems = examine()
    assert problems == [
        "train: masks encode their ids in several ways: grey 8 bit (4), palette (1: train/2)"
    ]
    assert status == 1


def test_files_that_cannot_be_read(examine, own):
    path = image_of(own, "train", 0)
    path.write_bytes(path.read_bytes()[:200])
    mask_of(own, "train", 1).write_bytes(b"")
    mask_of(own, "val", 7).unlink()
    status, _, problems = examine()
    assert status == 1
    assert len(problems) == 3
    assert problems[0] == f"val/7 has no mask below {own}/masks: {image_of(own, 'val', 7)}"
    assert problems[1].startswith(f"train: {path} is truncated")
    assert problems[2].startswith(
        f"train: {mask_of(own, 'train', 1)} is not an image in a supported"
    )


def test_duplicates_are_found_across_splits_whatever_their_bytes(examine, own):
    same = Image.open(image_of(own, "train", 4))
    same.save(image_of(own, "val", 5), compress_level=0)
    same.save(image_of(own, "train", 2), compress_level=1)
    assert image_of(own, "val", 5).read_bytes() != image_of(own, "train", 4).read_bytes()
    assert examine()[2] == ["the same image: train train/2, train train/4, val val/5"]


def test_the_numbers_are_numpys(examine, own):
    change(mask_of(own, "train", 0), lambda ids: ids[:6].fill(255))
    status, text, _ = examine("--split=train")
    assert status == 0
    ids = np.stack([np.array(Image.open(mask_of(own, "train", i))) for i in range(5)])
    images = np.stack([np.array(Image.open(image_of(own, "train", i))) for i in range(5)])
    for k in (0, 1, 2, 255):
        name = {0: "sky", 1: "road", 2: "car", 255: r"\(void\)"}[k]
        share = 100 * (ids == k).mean()
        count = (ids == k).any((1, 2)).sum()
        assert re.search(rf"^ +{k} +{name} +{share:.3f} +{count}$", text, re.MULTILINE)
    assert f"void           {100 * (ids == 255).mean():.2f} % of the pixels" in text
    for title, values in (("mean", images.mean((0, 1, 2))), ("deviation", images.std((0, 1, 2)))):
        numbers = re.search(rf"^  {title} +([\d., ]+)", text, re.MULTILINE)[1].split(",")
        np.testing.assert_allclose([float(n) for n in numbers], values, atol=0.006)
    assert re.search(r"^  absent +ship$", text, re.MULTILINE)
    valid = (ids != 255).sum((1, 2))
    frequency = np.array([(ids == k).sum() / valid.sum() for k in range(3)])
    weights = [*np.median(frequency) / frequency, 1.0]
    present = ids[ids != 255]
    inverse = [*compute_class_weight("balanced", classes=np.arange(3), y=present), 1.0]
    flags = re.findall(r"--config.loss.class_weights=([\d.,]+)", text)
    for flag, expected in zip(flags, (weights, inverse), strict=True):
        np.testing.assert_allclose([float(w) for w in flag.split(",")], expected, atol=6e-5)


def test_the_suggestions_are_flags_that_the_config_takes(examine):
    _, text, _ = examine()
    assert "--config.data.crop_size=33,33" in text
    assert "--config.eval.size=33,33" in text
    means = re.search(r"--config.data.normalisation.mean=([\d.,]+)", text)[1].split(",")
    assert len(means) == 3
    assert "--config.model.num_classes=4" in text


def test_without_classes_each_id_is_one(examine, own):
    change(mask_of(own, "train", 0), lambda ids: ids[0].fill(200))
    status, text, problems = examine(classes=False)
    assert (status, problems) == (0, [])
    assert re.search(r"^ +200 +id 200 ", text, re.MULTILINE)
    assert "class_weights" not in text
    assert "num_classes" not in text


def test_colour_coded_masks(examine, own):
    colours = np.array([(9, 0, 0), (0, 9, 0), (0, 0, 9)], np.uint8)
    for path in (own / "masks").rglob("*.png"):
        Image.fromarray(colours[np.array(Image.open(path))]).save(path)
    (own / "classes.txt").write_text("sky 9 0 0\nroad 0 9 0\ncar 0 0 9\n")
    status, text, problems = examine()
    assert (status, problems) == (0, [])
    assert "colours (5)" in text
    odd = np.array(Image.open(mask_of(own, "val", 6)))
    odd[0, 0] = (1, 2, 3)
    Image.fromarray(odd).save(mask_of(own, "val", 6))
    problem, way_out = examine()[2]
    assert "val/6.png holds colours that no class has: 1,2,3 (1 pixels)" in problem
    assert "classes.txt: add a line for each colour" in way_out


def test_the_picture(examine, own, tmp_path):
    mask_of(own, "train", 1).write_bytes(b"")  # what cannot be read is left out
    change(mask_of(own, "train", 2), lambda ids: ids[0].fill(99))
    path = tmp_path / "new" / "folder" / "own.png"
    status, text, _ = examine(f"--picture={path}", "--preview=4", "--views=1")
    assert status == 1
    assert f"Picture: {path}" in text
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture.shape[1] >= 1000
    drawn = len(np.unique(picture.reshape(-1, 3), axis=0))
    assert drawn > 500  # the random images are in it


def test_the_picture_shows_augmented_views_that_are_always_the_same(examine, tmp_path):
    def drawn(name, *flags):
        path = tmp_path / f"{name}.png"
        status, _, _ = examine(f"--picture={path}", "--preview=2", *flags)
        assert status == 0
        return np.asarray(Image.open(path).convert("RGB"))

    flags = ("--views=1", "--augment=rotation=30", "--augment=crop_size=20,40")
    one, two = drawn("one", *flags), drawn("two", *flags)
    np.testing.assert_array_equal(one, two)
    other = drawn("other", *flags, "--augment=photometric=True")
    assert one.shape == other.shape
    assert (one != other).any()
    plain = drawn("plain", "--views=0")
    assert plain.shape[0] < one.shape[0]  # two examples in one row instead of two


def test_views_are_those_of_the_transform():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    label = rng.integers(0, 3, (40, 50), dtype=np.uint8)
    settings = ["scale_range=1,1", "flip=False", "border=zero", "jitter=0", "class_limit_draws=3"]
    augment = augmented.transform_of(settings, (20, 30))
    assert augment == Transform(
        (20, 30),
        Augment(scale_range=(1.0, 1.0), flip=False, border="zero", jitter=0.0, class_limit_draws=3),
    )
    views = [augmented.view(augment, image, label, 4, number) for number in (0, 1, 0)]
    for view, ids in views:
        assert view.shape == (20, 30, 3)
        assert any(  # a crop of both at the same place
            np.array_equal(view, image[y : y + 20, x : x + 30])
            and np.array_equal(ids, label[y : y + 20, x : x + 30])
            for y in range(21)
            for x in range(21)
        )
    np.testing.assert_array_equal(views[0][0], views[2][0])
    assert (views[0][0] != views[1][0]).any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rotaton=10", "rotaton=10: there is no field 'rotaton'; did you mean rotation"),
        ("boundary=1", "there is no field 'boundary'"),
        ("rotation", "--augment=rotation: it must be a number"),
        ("rotation=ten", "it must be a number"),
        ("class_limit_draws=1.5", "it must be a whole number"),
        ("flip=perhaps", "it must be True or False"),
        ("scale_range=1", "it must be 2 values separated by commas"),
        ("crop_size=10,x", "it must be a whole number"),
        ("rotation=400", "jaxseg: --augment=rotation=400.0 must be at least 0 and below 360"),
        ("border=edge", "border='edge' must be one of mean, zero, mirror"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_read(examine, setting, message):
    status, text, _ = examine(f"--augment={setting}")
    assert status == 2
    assert message in text
    assert text.count("\n") == 1


def test_a_picture_of_a_set_without_one_readable_pair(examine, own, tmp_path):
    for path in (own / "masks").rglob("*.png"):
        path.write_bytes(b"")
    path = tmp_path / "none.png"
    status, text, problems = examine(f"--picture={path}")
    assert status == 1
    assert len(problems) == 8
    assert "Traceback" not in text


def test_a_picture_that_cannot_be_written(examine, own):
    status, text, _ = examine(f"--picture={own / 'classes.txt' / 'p.png'}")
    assert status == 1
    assert f"jaxseg: {own / 'classes.txt'}" in text


def test_lines_stay_short_with_long_class_names(examine, own):
    (own / "classes.txt").write_text("0 sky\n1 road\n2 a class whose name is long\n5 ship\n")
    _, text, _ = examine()
    rows = re.findall(r"^ +\d+ .*\d$", text, re.MULTILINE)
    assert len(rows) == 6
    assert len({len(row) for row in rows}) == 1


def test_a_number_of_objects_is_refused_for_label_maps(examine):
    status, text, _ = examine("--objects=5")
    assert status == 2
    assert "jaxseg: --objects is for instance sets, but folder/own holds a class for each" in text
