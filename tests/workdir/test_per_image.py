"""Matrices of images by their entries: whole again in memory and from disk; broken files."""

import numpy as np
import pytest

from jaxseg import metrics
from jaxseg.workdir import per_image


def matrices(images=6, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 2**31, (images, classes, classes))
    counts *= rng.random(counts.shape) < 0.3
    counts[1] = 0  # nothing but void
    return counts


def gathered(counts):
    names = [f"a/b {i}" for i in range(len(counts))]
    return per_image.gather(names, counts.shape[1], map(per_image.entries, counts))


@pytest.mark.parametrize("classes", [1, 3, 5, 200])
def test_entries_are_the_matrices(classes):
    counts = matrices(classes=classes)
    found = gathered(counts)
    assert len(found.count) == np.count_nonzero(counts)
    np.testing.assert_array_equal(found.matrices(), counts)
    np.testing.assert_array_equal(found.confusion(), counts.sum(axis=0))
    for part, expected in zip(found.class_counts(), metrics.class_counts(counts), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_what_is_written_is_read(tmp_path):
    counts = matrices(classes=254)
    path = tmp_path / "val.npz"
    path.write_bytes(b"old")
    per_image.write(path, gathered(counts))
    found = per_image.read(path)
    assert found.names == tuple(f"a/b {i}" for i in range(6))
    np.testing.assert_array_equal(found.matrices(), counts)
    assert [p.name for p in tmp_path.iterdir()] == ["val.npz"]
    nothing = gathered(np.zeros((0, 3, 3), int))
    per_image.write(path, nothing)
    assert per_image.read(path).matrices().shape == (0, 3, 3)


def test_two_thousand_images_of_150_classes_stay_small():
    rng = np.random.default_rng(0)
    images = (per_image.entries(_sparse(rng, 150, 100)) for _ in range(2000))
    found = per_image.gather(["x"] * 2000, 150, images)
    arrays = (found.image, found.truth, found.prediction, found.count)
    assert sum(array.nbytes for array in arrays) < 3e6


def _sparse(rng, classes, entries):
    counts = np.zeros(classes * classes, int)
    counts[rng.integers(0, counts.size, entries)] = 7
    return counts.reshape(classes, classes)


def test_foreign_or_cut_files_are_refused_by_name(tmp_path):
    path = tmp_path / "val.npz"
    with pytest.raises(FileNotFoundError):
        per_image.read(path)
    per_image.write(path, gathered(matrices()))
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", names=["a"])
    odd = gathered(matrices())
    odd.image[-1] = 6
    per_image.write(tmp_path / "odd.npz", odd)
    for content in (b"", b"text", whole[:100], whole[:-300], (tmp_path / "other.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"val\.npz holds no confusion matrices"):
            per_image.read(path)
    with pytest.raises(ValueError, match=r"odd\.npz holds entries beyond its 6 images or 5"):
        per_image.read(tmp_path / "odd.npz")
