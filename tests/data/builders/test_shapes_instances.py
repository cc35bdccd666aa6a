"""Each split of the drawn instances has the difficulty that it is named after."""

import json

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from jaxseg.data import source
from jaxseg.data.builders import shapes_instances
from jaxseg.data.builders.shapes_instances import BAR, DISC, RING, SQUARE
from jaxseg.data.labels import LabelSpec
from jaxseg.data.prepare import prepare

SAMPLE, SIZE = 25, 128


def sample(split, seed=0):
    return [shapes_instances.draw_example(seed, split, i, SIZE)[1] for i in range(SAMPLE)]


def widened(mask):
    return cv2.dilate(mask, np.ones((3, 3), np.uint8))


def neighbours(objects, i, j):
    return bool((widened(objects.mask(i)) & objects.mask(j)).any())


def pairs_of(objects):
    return [(i, j) for i in range(len(objects)) for j in range(i)]


def diameters(objects):
    return np.sqrt(objects.areas[~objects.crowd] * 4 / np.pi)


@pytest.mark.parametrize("split", shapes_instances.SPLITS)
def test_an_example_is_a_function_of_seed_split_and_index(split):
    image, objects = shapes_instances.draw_example(3, split, 5, 64)
    again, same = shapes_instances.draw_example(3, split, 5, 64)
    np.testing.assert_array_equal(image, again)
    assert objects.regions == same.regions
    assert image.shape == (64, 64, 3)
    other, _ = shapes_instances.draw_example(3, split, 6, 64)
    assert (image != other).any()


def test_the_splits_are_different_images():
    drawn = [shapes_instances.draw_example(0, s, 0, 64)[0] for s in shapes_instances.SPLITS]
    assert len({image.tobytes() for image in drawn}) == len(shapes_instances.SPLITS)


@pytest.mark.parametrize("split", shapes_instances.SPLITS)
def test_masks_are_what_is_seen(split):
    for objects in sample(split)[:8]:
        total = sum(objects.mask(k).astype(int) for k in range(len(objects)))
        assert np.max(total) == 1
        for k in range(len(objects)):
            assert objects.areas[k] == objects.mask(k).sum() > 0


def test_what_no_object_covers_is_background(tmp_path):
    with flagsaver.flagsaver():
        flags.FLAGS(["x", "--shapes_size=48", "--shapes_train=2", "--shapes_val=2"])
        prepare.prepare("shapes/instances", tmp_path)
    opened = source.open_instances("shapes/instances", "crowds", tmp_path)
    assert opened.labels.stuff.names == ("things", "background")
    objects, semantic = opened.objects(0), opened.semantic(0)
    assert objects.crowd.any()
    masks = np.array([objects.mask(k) for k in range(len(objects))])
    np.testing.assert_array_equal(semantic, 1 - masks.max(axis=0))
    # What is stored does not have the background: sets of before are the same.
    stored = json.loads((opened.folder / "metadata.json").read_text())["labels"]
    assert LabelSpec.from_json(stored) == shapes_instances.LABELS
    assert opened.fingerprint.labels == shapes_instances.LABELS
    assert opened.fingerprint.splits["crowds"].names


def test_overlap():
    """Boxes overlap although masks do not; nothing touches where that is not asked for."""
    for objects in sample("overlap"):
        together = [pair for pair in pairs_of(objects) if neighbours(objects, *pair)]
        assert 1 <= len(together) <= 2
    for objects in sample("scale"):
        assert not any(neighbours(objects, *pair) for pair in pairs_of(objects))


def test_touching():
    counts = []
    for objects in sample("touching"):
        assert len(set(objects.classes.tolist())) == 1
        assert set(objects.classes.tolist()) <= {DISC, SQUARE}
        counts.append(len(objects))
        for i in range(len(objects)) if len(objects) > 1 else ():
            assert any(neighbours(objects, i, j) for j in range(len(objects)) if j != i)
    assert np.mean(counts) > 3
    assert max(counts) == 6


def test_scale_is_a_factor_of_ten_within_an_image():
    ratios = [sizes.max() / sizes.min() for sizes in map(diameters, sample("scale"))]
    assert np.median(ratios) > 7  # what lies at the border is cut
    every = np.concatenate([diameters(objects) for objects in sample("scale")])
    assert every.max() / every.min() > 10
    middle = np.concatenate([diameters(objects) for objects in sample("crowds")])
    assert middle.max() / middle.min() < 5


def test_thin():
    """Nothing of an object is farther than two pixels from what is outside it."""
    kinds = set()
    for objects in sample("thin"):
        kinds |= set(objects.classes.tolist())
        for k in range(len(objects)):
            inside = cv2.copyMakeBorder(objects.mask(k), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=[0])
            assert cv2.distanceTransform(inside, cv2.DIST_L2, 5).max() <= 2.5
    assert kinds == {BAR, RING}


def test_crowds():
    with_one = 0
    for objects in sample("crowds"):
        assert objects.crowd.sum() <= 1
        assert len(objects) - objects.crowd.sum() <= 2
        for k in np.flatnonzero(objects.crowd):
            parts, _ = cv2.connectedComponents(objects.mask(int(k)), connectivity=8)
            with_one += parts > 2
    assert with_one > 0.8 * SAMPLE


def test_training_images_mix_all_of_it():
    objects = sample("train")
    assert {int(k) for each in objects for k in each.classes} == {1, 2, 3, 4, 5}
    assert any(each.crowd.any() for each in objects)
    assert any(neighbours(each, *pair) for each in objects for pair in pairs_of(each))
    assert not all(each.crowd.any() for each in objects)
    every = np.concatenate([diameters(each) for each in objects])
    assert every.max() / every.min() > 10
    assert all(len(each) for each in objects)


def test_it_is_prepared_and_opened(command, tmp_path):
    arguments = ["--name=shapes/instances", f"--data_dir={tmp_path}"]
    sizes = ["--shapes_size=64", "--shapes_train=5", "--shapes_val=3"]
    status, out, err = command(prepare.main, *arguments, *sizes)
    assert status == 0, err
    assert "train 5 (up to 64 x 64), val 3" in out
    assert "5 classes" in out
    for split in shapes_instances.SPLITS:
        opened = source.open_instances("shapes/instances", split, tmp_path)
        assert len(opened) == {"train": 5, "val": 3}.get(split, 2)
        image, objects = shapes_instances.draw_example(0, split, 1, 64)
        np.testing.assert_array_equal(opened[1]["image"], image)
        assert opened[1]["objects"].regions == objects.regions
        np.testing.assert_array_equal(opened[1]["objects"].boxes, objects.boxes)
        np.testing.assert_array_equal(opened[1]["objects"].classes, objects.classes)
    status, out, _ = command(prepare.main, *arguments)
    assert status == 0
    assert "Already prepared" in out
    status, _, err = command(prepare.main, *arguments, "--shapes_size=32")
    assert status == 1
    assert "shapes_size was 64 and is 32" in err
