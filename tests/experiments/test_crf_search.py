"""The search over the CRF's parameters: its grids, its records, and resuming."""

import re

import numpy as np
import pytest

from experiments.benchmarks import crf_grid, crf_unaries
from experiments.benchmarks.crf_unaries import Unary

AXES = [[3.0, 5.0], [30.0, 50.0, 70.0], [3.0]]
WHAT = {"images": [0, 2], "normalization": "per_pixel", "fixed": [3, 3, 10]}


def test_a_finer_grid_lies_around_the_best_at_half_the_step():
    assert crf_grid.refined(AXES, (5.0, 30.0, 3.0)) == [[4, 5, 6], [20, 30, 40], [3]]
    assert crf_grid.refined([[1.0, 9.0]], (1.0,)) == [[1, 5]]  # nothing at or below 0
    assert len(crf_grid.grid(AXES)) == 6


class _Unaries:
    """Two classes, left and right halves; the network takes the left one for all."""

    def of(self, indices):
        label = np.repeat([[0, 0, 1, 1]], 5, axis=0).astype(np.uint8)
        scores = np.zeros((5, 4, 2), np.float32)
        scores[..., 0] = 1
        for i in indices:
            yield Unary(f"image {i}", np.zeros((5, 4, 3), np.uint8), label, scores)


def test_a_search_finds_the_best_and_goes_on_from_its_file(tmp_path, monkeypatch):
    tried = []

    def labels(unary, parameters, normalization):
        """More is right the nearer theta_alpha is to 45; the frame reaches beyond the image."""
        assert (parameters.w2, parameters.theta_gamma, parameters.iterations) == (3, 3, 10)
        assert normalization == "per_pixel"
        tried.append((parameters.w1, parameters.theta_alpha, parameters.theta_beta))
        framed = np.ones((8, 8), np.int32)
        framed[: 5 - int(abs(parameters.theta_alpha - 45)) // 10, :2] = 0
        return framed

    monkeypatch.setattr(crf_grid, "_refined_labels", labels)
    output = tmp_path / "search.json"
    record = crf_grid.search(_Unaries(), WHAT, output, AXES, 1)
    assert len(set(tried)) == len(tried) / 2 == 6 + 8  # one of the 9 was done
    best = record["settings"][0]
    assert best["w1 theta_alpha theta_beta"][1] == 50
    assert best["miou"] == 1
    assert record["without"]["miou"] == pytest.approx(1 / 4)
    assert best["gain"] == pytest.approx(3 / 4)
    assert best["gain_interval"] == [pytest.approx(3 / 4)] * 2  # both images are the same
    assert "| no CRF | | | 25.00" in re.sub(" +", " ", crf_grid.table(record))

    tried.clear()
    again = crf_grid.search(_Unaries(), WHAT, output, AXES, 1)
    assert not tried
    assert again["settings"] == record["settings"]
    with pytest.raises(ValueError, match="holds a different search"):
        crf_grid.search(_Unaries(), WHAT | {"images": [0, 3]}, output, AXES, 1)
    output.write_text("{}")
    with pytest.raises(ValueError, match="does not hold a search"):
        crf_grid.search(_Unaries(), WHAT, output, AXES, 1)


def test_the_crop_is_where_most_pixels_differ():
    different = np.zeros((9, 12), bool)
    different[[5, 8, 6], [7, 9, 11]] = True
    different[0, 0] = True
    rows, columns = crf_unaries.most_different(different, 4)
    assert different[rows, columns].shape == (4, 4)
    assert different[rows, columns].sum() == 2
    rows, columns = crf_unaries.most_different(different, 5)
    assert (rows, columns) == (slice(4, 9), slice(7, 12))
    assert crf_unaries.most_different(different, 20) == (slice(0, 9), slice(0, 12))


def test_an_image_in_its_frame_is_at_the_top_left():
    label = np.zeros((5, 130), np.uint8)
    unary = Unary("a", np.ones((5, 130, 3), np.uint8), label, np.ones((5, 130, 2), np.float32))
    logits, image, size = unary.framed()
    assert (logits.shape, image.shape, size) == ((128, 256, 2), (128, 256, 3), (5, 130))
    assert image[:5, :130].all()
    assert image.sum() == 5 * 130 * 3
