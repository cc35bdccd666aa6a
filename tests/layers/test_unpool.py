"""Pooling with indices and unpooling against NumPy loops: ties, odd sizes, gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.unpool import max_pool_with_places, unpool

# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
CASES = [((8, 6), 2), ((7, 9), 2), ((1, 1), 2), ((7, 8), 3)]  # size of the map and of the windows
FORMS = pytest.mark.parametrize("form", ["plain", "fast"])


def _pool(x, size):
    """Returns the maximum, its place and its flat pixel index for each window."""
    batch, height, width, channels = x.shape
    shape = (batch, -(-height // size), -(-width // size), channels)
    best, places, mask = np.zeros(shape, x.dtype), np.zeros(shape, int), np.zeros_like(x)
    for b, i, j, c in np.ndindex(*shape):
        seen = x[b, size * i : size * (i + 1), size * j : size * (j + 1), c]
        row, column = np.unravel_index(seen.argmax(), seen.shape)
        best[b, i, j, c] = seen[row, column]
        places[b, i, j, c] = size * row + column
        mask[b, size * i + row, size * j + column, c] = 1
    return best, places, mask


@FORMS
def test_values_places_and_gradients_with_many_ties(form):
    rng = np.random.default_rng(0)
    xs = [rng.integers(-4, -1, (2, *size, 3)).astype(np.float32) for size, _ in CASES]

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(xs):
        results = []
        for x, (size, window) in zip(xs, CASES, strict=True):

            def there_and_back(x, size=size, window=window):
                best, places = max_pool_with_places(x, window, form=form)
                back = unpool(best, places, window, shape=size, form=form)
                return (best, back), places

            (best, back), pull, places = jax.vjp(there_and_back, x, has_aux=True)
            weights = jnp.arange(1.0, 1 + best.size).reshape(best.shape)
            (dx,) = pull((weights, jnp.zeros_like(back)))
            (dback,) = pull((jnp.zeros_like(best), jnp.ones_like(back) * 2))
            results.append((best, places, back, dx, dback))
        return results

    for x, (_, window), (best, places, back, dx, dback) in zip(xs, CASES, run(xs), strict=True):
        expected, where, mask = _pool(x, window)
        np.testing.assert_array_equal(best, expected)
        np.testing.assert_array_equal(places, where)
        assert places.dtype == jnp.uint8
        np.testing.assert_array_equal(back, x * mask)  # unpool o pool keeps each maximum in place
        np.testing.assert_array_equal(dback, 2 * mask)
        weights = np.arange(1.0, 1 + best.size).reshape(best.shape)
        for b, i, j, c in np.ndindex(*best.shape):
            window_of = dx[b, window * i : window * (i + 1), window * j : window * (j + 1), c]
            assert window_of.sum() == weights[b, i, j, c]
        assert (np.asarray(dx)[mask == 0] == 0).all()


@FORMS
def test_other_values_go_to_the_same_places(form):
    """A decoder unpools its own features with the places from the encoder."""
    x = np.random.default_rng(1).normal(size=(1, 5, 4, 2)).astype(np.float32)
    best, places = max_pool_with_places(jnp.asarray(x), form=form)
    y = np.random.default_rng(2).normal(size=best.shape).astype(np.float32)
    back = np.asarray(unpool(jnp.asarray(y), places, shape=(5, 4), form=form))
    mask = _pool(x, 2)[2]
    assert (back[mask == 0] == 0).all()
    np.testing.assert_array_equal(np.sort(back[mask == 1]), np.sort(y.ravel()))
    again, _ = max_pool_with_places(jnp.where(jnp.asarray(mask) == 1, back, -9), form=form)
    np.testing.assert_array_equal(again, y)


@FORMS
def test_nan_is_propagated(form):
    x = jnp.zeros((1, 4, 4, 1)).at[0, 3, 2, 0].set(jnp.nan)
    best, places = max_pool_with_places(x, form=form)
    assert np.isnan(best).sum() == 1
    assert np.isnan(unpool(best, places, shape=(4, 4), form=form)[0, 3, 2, 0])


@pytest.mark.usefixtures("unchecked")
def test_mismatched_shapes_are_refused():
    y, places = jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 3), jnp.uint8)
    with pytest.raises(ValueError, match="2 x 2 windows of 2 do not cover 5 x 4 pixels"):
        unpool(y, places, shape=(5, 4))
    with pytest.raises(ValueError, match="do not belong to maps"):
        unpool(y, places[..., :1], shape=(4, 4))
