"""Bands of rows give the same results as the whole map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.inference import row_bands
from jaxseg.layers.resize import resize_bilinear
from jaxseg.sampling import CONVENTIONS


@pytest.fixture
def narrow_bands(monkeypatch):
    """Sets bands of three rows for the maps below, of which the last one overlaps."""
    monkeypatch.setattr(row_bands, "_NUMBERS", {"cpu": 3 * 2 * 13 * 5, "other": 3 * 2 * 13 * 5})
    assert row_bands.bands(17, 2 * 13 * 5) == (6, 3)


def _scores(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("size", [(17, 13), (5, 4), (33, 6), (3, 4)])
def test_rows_equal_those_of_the_resized_map(convention, size):
    x = _scores(2, 5, 4, 3)
    whole = resize_bilinear(x, size, convention=convention, form="plain")
    index = jnp.array([size[0] - 1, 0, 1])
    for mirrored in (False, True, jnp.bool_(True), jnp.bool_(False)):
        expected = whole[:, :, ::-1] if mirrored else whole
        rows = row_bands.resized(x, size, convention, mirrored=mirrored)
        np.testing.assert_allclose(rows(index), expected[:, index], atol=1e-5)


def test_sums_count_each_row_once(narrow_bands):
    x = _scores(2, 4, 4, 5)
    rows = row_bands.resized(x, (17, 13), "half_pixel")
    whole = resize_bilinear(x, (17, 13), convention="half_pixel")
    heights = jnp.arange(17.0)

    def each(band, index):
        return heights[index][:, None] * band.max(axis=-1)

    best, sums = jax.jit(lambda: row_bands.best_and_sums(rows, (2, 17, 13, 5), each))()
    np.testing.assert_array_equal(best, row_bands.best_classes(rows, (2, 17, 13, 5)))
    expected = (heights[:, None] * whole.max(axis=-1)).sum(axis=(1, 2))
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def test_the_best_class_does_not_depend_on_the_bands(narrow_bands):
    x = _scores(2, 4, 4, 5)
    whole = resize_bilinear(x, (17, 13), convention="half_pixel")
    rows = row_bands.resized(x, (17, 13), "half_pixel")
    found = jax.jit(lambda: row_bands.best_classes(rows, (2, 17, 13, 5)))()
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, np.argmax(whole, -1))


@pytest.mark.parametrize("classes", [1, 2, 21, 64, 77])
def test_the_first_of_equal_scores_is_the_best(classes):
    x = jnp.round(_scores(2, 3, 5, classes))  # makes many of them equal
    run = jax.jit(row_bands.first_best, static_argnames="form")
    fast, plain = (run(x, form=form) for form in ("fast", "plain"))
    assert fast.dtype == plain.dtype == jnp.int32
    np.testing.assert_array_equal(fast, np.argmax(x, -1))
    np.testing.assert_array_equal(plain, np.argmax(x, -1))


@pytest.mark.parametrize("join", [jnp.add, jnp.maximum])
def test_each_row_is_joined_once(narrow_bands, join):
    """This includes rows shared by two bands, which would be added twice otherwise."""
    x, total = _scores(2, 4, 4, 5), _scores(2, 17, 13, 5)
    whole = resize_bilinear(x, (17, 13), convention="align_corners")
    rows = row_bands.resized(x, (17, 13), "align_corners")
    np.testing.assert_allclose(row_bands.joined(total, rows, join), join(total, whole), atol=1e-5)
