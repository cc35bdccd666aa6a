import functools

import cv2
import numpy as np
import pytest

from jaxseg.data import loader
from jaxseg.data.augment.weight_map import boundary_weights
from jaxseg.data.builders import shapes, shapes_variants
from jaxseg.data.builders.shapes import CAPTIVE, CROSS, DISC, FRAME, SQUARE, TRIANGLE
from jaxseg.data.prepare import prepare

VARIANTS = shapes_variants.VARIANTS
SAMPLE = 100


@functools.cache
def sample(variant):
    return [VARIANTS[variant].draw(0, "train", i, 64) for i in range(SAMPLE)]


def shares(labels):
    counts = np.sum([np.bincount(label.ravel(), minlength=256) for label in labels], axis=0)
    assert counts[7:255].sum() == 0
    return counts[:7] / counts[:7].sum()


def pieces(label, train_id):
    """The masks of the separate objects of a class."""
    count, ids = cv2.connectedComponents((label == train_id).astype(np.uint8), connectivity=8)
    return [ids == k for k in range(1, count)]


def distance(mask, point):
    return np.linalg.norm(np.argwhere(mask) - point, axis=1).min()


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_example_is_a_function_of_variant_seed_split_and_index(variant):
    draw = VARIANTS[variant].draw
    again = draw(0, "train", 3, 64)
    for a, b in zip(again, sample(variant)[3], strict=True):
        np.testing.assert_array_equal(a, b)
    for other in ((1, "train", 3), (0, "val", 3), (0, "train", 4)):
        assert (draw(*other, 64)[0] != again[0]).any()


def test_no_variant_draws_what_another_does():
    images = {sample(variant)[0][0].tobytes() for variant in VARIANTS}
    images.add(shapes.draw_example(0, "train", 0, 64)[0].tobytes())
    assert len(images) == len(VARIANTS) + 1


def test_lengths_grow_with_the_image():
    for variant in VARIANTS.values():
        small, large = (
            np.mean([(variant.draw(0, "val", i, side)[1] == 0).mean() for i in range(12)])
            for side in (64, 128)
        )
        assert large == pytest.approx(small, abs=0.1)


def test_thin_objects_are_thin_or_small_and_a_coarse_grid_loses_them():
    depths, radii = [], []
    for _, label in sample("thin"):
        assert 255 not in label
        for kind in (DISC, SQUARE, TRIANGLE, FRAME, CROSS):
            padded = np.pad((label == kind).astype(np.uint8), 1)
            largest = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()
            if kind in (FRAME, CROSS):
                depths.append(largest)
            else:
                radii.append(largest)
        hulls, _ = cv2.findContours(
            (label == FRAME).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        whole = cv2.drawContours(np.zeros_like(label), hulls, -1, 1, cv2.FILLED)
        assert set(np.unique(label[whole > 0])) <= {0, FRAME}  # so no disc is a captive
    assert max(depths) < 2.5  # of the middle of a stroke or crossing: at most 3 pixels wide
    assert max(radii) <= 6
    labels = np.stack([label for _, label in sample("thin")])
    blocks = labels.reshape(-1, 8, 8, 8, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 64)
    best = np.array([np.bincount(block, minlength=7).argmax() for block in blocks])
    kept = (blocks == best[:, None]) & np.isin(blocks, (FRAME, CROSS))
    assert kept.sum() < 0.05 * np.isin(blocks, (FRAME, CROSS)).sum()  # at output stride 8


def test_far_discs_of_both_kinds_are_equally_far_from_a_wall():
    walls, colours, sizes = (
        {DISC: [], CAPTIVE: []},
        {DISC: [], CAPTIVE: []},
        {DISC: [], CAPTIVE: []},
    )
    for image, label in sample("far"):
        for kind in walls:
            for mask in pieces(label, kind):
                centre = np.argwhere(mask).mean(0)
                walls[kind].append(distance(label == FRAME, centre))
                colours[kind].append(image[mask].mean(0))
                sizes[kind].append(mask.sum())
    for kind in walls:
        assert min(walls[kind]) > 11
        assert max(walls[kind]) < 29
        assert len(walls[kind]) > 0.5 * SAMPLE
    assert np.mean(walls[DISC]) == pytest.approx(np.mean(walls[CAPTIVE]), abs=5)
    assert np.mean(sizes[DISC]) == pytest.approx(np.mean(sizes[CAPTIVE]), rel=0.15)
    assert np.abs(np.mean(colours[DISC], 0) - np.mean(colours[CAPTIVE], 0)).max() < 30
    share = shares([label for _, label in sample("far")])
    assert 0.75 < share[DISC] / share[CAPTIVE] < 1.33


def test_only_the_frame_of_a_scene_tells_and_it_is_far():
    captives, distances = 0, []
    for _, label in sample("scene"):
        framed = FRAME in label
        assert framed == (CAPTIVE in label)
        assert framed != (DISC in label)
        captives += framed
        if framed:
            for mask in pieces(label, CAPTIVE):
                distances.append(distance(label == FRAME, np.argwhere(mask).mean(0)))
        else:
            assert SQUARE in label
    assert 0.4 * SAMPLE < captives < 0.6 * SAMPLE
    assert min(distances) > 15
    assert max(distances) > 40
    share = shares([label for _, label in sample("scene")])
    assert 0.7 < share[DISC] / share[CAPTIVE] < 1.4


def test_rare_classes_are_rare():
    share = shares([VARIANTS["rare"].draw(0, "train", i, 64)[1] for i in range(1000)])
    assert 1 / 2000 < share[CROSS] < 1 / 1200
    assert 1 / 400 < share[TRIANGLE] < 1 / 250
    assert share[0] > 0.8
    assert min(share[DISC], share[SQUARE]) > 0.05


def test_cells_are_apart_by_thin_gaps_which_the_weight_map_finds():
    counts, gaps, found = [], [], []
    for _, label in sample("cells")[:30]:
        assert set(np.unique(label)) == {0, DISC}
        cells = pieces(label, DISC)
        counts.append(len(cells))
        for i, cell in enumerate(cells):
            others = [np.argwhere(other) for k, other in enumerate(cells) if k != i]
            points = np.argwhere(cell)[:, None]
            near = min(np.linalg.norm(points - other, axis=-1).min() for other in others)
            gaps.append(near - 1)
        weights = boundary_weights(label, weight=10, sigma=2)
        assert weights.max() > 5
        found.append((weights > 2).sum() / (label == 0).sum())
    assert min(counts) >= shapes_variants.CELLS[0]
    assert max(counts) <= shapes_variants.CELLS[1]
    assert min(gaps) > 0.4  # one pixel of background, diagonally
    assert np.quantile(gaps, 0.95) < 3.5
    assert 0.03 < np.mean(found) < 0.3  # gaps, not all of the background


def test_prepared_without_other_flags_or_with_some(command, tmp_path):
    sizes = ("--shapes_train=4", "--shapes_val=2")
    status, out, _ = command(prepare.main, "--name=shapes/cells", f"--data_dir={tmp_path}", *sizes)
    assert status == 0
    assert out.startswith("Prepared shapes/cells: train 4 (up to 64 x 64), val 2 (up to 64 x 64);")
    val = loader.open_split("shapes/cells", "val", tmp_path)
    image, label = VARIANTS["cells"].draw(0, "val", 1, 64)
    np.testing.assert_array_equal(val[1]["image"], image)
    np.testing.assert_array_equal(val[1]["label"], label)
    for name, sizes in (("far", (64, 800, 200)), ("mine", (128, 1600, 200))):
        config = prepare.shapes_config(name)
        assert (config.size, config.train, config.val) == sizes
        assert (config.draw is shapes.draw_example) == (name == "mine")
