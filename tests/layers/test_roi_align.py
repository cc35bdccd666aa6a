"""RoIAlign, RoIWarp and RoIPool against loops in NumPy, in value and gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.layers.roi_align import roi_align, roi_pool, roi_warp

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
FORMS = pytest.mark.parametrize("form", ["plain", "fast"])
STRIDES = (4, 8)
SIZE = 3
ROIS = np.array(  # on a canvas of 72 x 56, twice, for two images
    [
        [[3, 5, 21, 47], [0, 0, 0, 0], [30.5, 2.25, 33, 9], [-9, -20, 30, 90], [0, 0, 56, 72]],
        [[40, 60, 56, 72], [90, 90, 99, 99], [9, 9, 9, 30], [20, 30, 10, 12], [2, 3, 50, 68]],
    ],
    np.float32,
)
LEVEL = np.array([[0, 0, 1, 1, 0], [1, 0, 0, 1, 1]], np.int32)


def maps_of(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(2, 72 // s, 56 // s, 2)).astype(np.float32) for s in STRIDES]


def axis_of(start, end, cells, *, sampling, aligned, rounded=False, size=SIZE):
    """(weights [cells] of each sample) of each bin: torchvision's positions, one by one."""
    if rounded:
        start, end = (np.sign(x) * np.floor(abs(x) + 0.5) for x in (start, end))
        end = start + max(end - start + 1, 1)
    offset, side = (0.5, end - start) if aligned else (0, max(end - start, 1))
    count = sampling or int(np.ceil(side / size))
    bins = []
    for p in range(size):
        samples = []
        for s in range(count):
            at = start - offset + (p + (s + 0.5) / count) * side / size
            weights = np.zeros(cells)
            if -1 <= at <= cells:
                at = min(max(at, 0), cells - 1)
                low = int(at)
                weights[low] += 1 - (at - low)
                weights[min(low + 1, cells - 1)] += at - low
            samples.append(weights)
        bins.append(np.array(samples).reshape(-1, cells))
    return bins


def by_loop(maps, dy, reduce="mean", rois=ROIS, **how):
    """The value, and the gradient of each map for the cotangent dy."""
    y, gradients = np.zeros(dy.shape), [np.zeros(x.shape) for x in maps]
    for b, n in np.ndindex(LEVEL.shape):
        k = LEVEL[b, n]
        x1, y1, x2, y2 = rois[b, n].astype(float) / STRIDES[k]
        rows = axis_of(y1, y2, maps[k].shape[1], **how)
        columns = axis_of(x1, x2, maps[k].shape[2], **how)
        for p, q in np.ndindex(SIZE, SIZE):
            weights = np.einsum("sh,tw->sthw", rows[p], columns[q]).reshape(-1, *maps[k].shape[1:3])
            samples = np.einsum("shw,hwc->sc", weights, maps[k][b])
            if not len(samples):
                continue
            if reduce == "mean":
                y[b, n, p, q] = samples.mean(0)
                part = weights.mean(0)[..., None] * dy[b, n, p, q]
            else:
                y[b, n, p, q] = samples.max(0)
                part = weights[samples.argmax(0)].transpose(1, 2, 0) * dy[b, n, p, q]
            gradients[k][b] += part
    return y, gradients


def both(operation, maps, dy, rois=ROIS, **how):
    """As `by_loop`, of one of ours."""

    def run(maps, dy, rois):
        y, pull = jax.vjp(lambda x: operation(x, STRIDES, rois, LEVEL, SIZE, **how), maps)
        return y, pull(dy)[0]

    return jax.jit(run, compiler_options=QUICK)(maps, dy, rois)


def compare(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found[0], expected[0], atol=tolerance)
    for x, y in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(x, y, atol=tolerance)


DY = np.random.default_rng(1).normal(size=(2, 5, SIZE, SIZE, 2)).astype(np.float32)


@FORMS
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling", [2, 0])
def test_roi_align(sampling, aligned, form):
    rois = ROIS if sampling else ROIS.clip(0, [56, 72, 56, 72]).astype(np.float32)
    how = {"sampling": sampling, "aligned": aligned}
    found = both(roi_align, maps_of(), DY, rois, form=form, **how)
    compare(found, by_loop(maps_of(), DY, rois=rois, **how))


@FORMS
@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_roi_warp_is_sampled_over_whole_cells(reduce, form):
    found = both(roi_warp, maps_of(), DY, reduce=reduce, form=form)
    how = {"sampling": 2, "aligned": False, "rounded": True}
    compare(found, by_loop(maps_of(), DY, reduce, **how))


def test_the_maximum_of_samples():
    found = both(roi_align, maps_of(), DY, reduce="max", sampling=2, aligned=True)
    compare(found, by_loop(maps_of(), DY, "max", sampling=2, aligned=True))


@pytest.mark.parametrize("size", [3, 7])
def test_cells_that_fill_their_bins_are_counted_once(size):
    """5 x size cells in `size` bins: 5 samples each, not 6 by a rounding of the quotient."""
    x = np.arange(36, dtype=np.float32)[None, :, None, None] ** 2 + np.zeros((1, 36, 36, 1))
    roi, level = np.float32([[[0, 0, 5 * size, 5 * size]]]), np.zeros((1, 1), np.int32)
    run = functools.partial(roi_align, strides=[1], size=size, sampling=0, form="plain")
    y = jax.jit(lambda x, roi: run([x], rois=roi, level=level))(np.float32(x), roi)
    at = np.arange(5 * size) + 0.5
    lerp = np.interp(at, np.arange(36), np.arange(36.0) ** 2)
    np.testing.assert_allclose(y[0, 0, :, 0, 0], lerp.reshape(size, 5).mean(1), rtol=1e-5)


def pool_by_loop(maps, dy):
    y, gradients = np.zeros(dy.shape), [np.zeros(x.shape) for x in maps]
    for b, n in np.ndindex(LEVEL.shape):
        k = LEVEL[b, n]
        ends = ROIS[b, n].astype(float) / STRIDES[k]
        x1, y1, x2, y2 = np.sign(ends) * np.floor(abs(ends) + 0.5)
        cells = []
        for begin, end, most in ((y1, y2, maps[k].shape[1]), (x1, x2, maps[k].shape[2])):
            each = np.float32(max(end - begin + 1, 1)) / np.float32(SIZE)
            cells.append(
                [
                    np.arange(most)[
                        int(max(begin + np.floor(p * each), 0)) : int(
                            max(begin + np.ceil((p + 1) * each), 0)
                        )
                    ]
                    for p in range(SIZE)
                ]
            )
        for p, q, c in np.ndindex(SIZE, SIZE, 2):
            places = [(i, j) for i in cells[0][p] for j in cells[1][q]]
            if places:
                best = max(places, key=lambda at: maps[k][b, *at, c])  # the first of equal ones
                y[b, n, p, q, c] = maps[k][b, *best, c]
                gradients[k][b, *best, c] += dy[b, n, p, q, c]
    return y, gradients


def test_roi_pool_takes_the_first_of_equal_cells():
    maps = [np.maximum(np.round(x), 0) for x in maps_of()]
    compare(both(roi_pool, maps, DY), pool_by_loop(maps, DY), 1e-6)


@functools.cache
def _compiled(form, sampling):
    def total(maps, rois):
        how = {"sampling": sampling, "aligned": True, "form": form}
        return roi_align(maps, STRIDES, rois, LEVEL, SIZE, **how).sum()

    return jax.jit(jax.value_and_grad(total, (0, 1)), compiler_options=QUICK)


@pytest.mark.parametrize(("form", "sampling"), [("plain", 2), ("fast", 2), ("fast", 0)])
@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=40, max_size=40))
def test_any_roi_gives_finite_numbers_and_takes_no_gradient(form, sampling, drawn):
    """Without area, inverted, far outside, larger than the canvas."""
    rois = np.array(drawn, np.float32).reshape(2, 5, 4)
    value, (of_maps, of_rois) = _compiled(form, sampling)(maps_of(), rois)
    assert np.isfinite(value)
    assert all(np.isfinite(x).all() for x in of_maps)
    assert not of_rois.any()


@FORMS
def test_half_precision_is_summed_in_float32(form):
    half = [x.astype(jnp.bfloat16) for x in maps_of()]
    y, gradients = both(roi_align, half, DY.astype(jnp.bfloat16), form=form)
    assert {x.dtype.name for x in (y, *gradients)} == {"bfloat16"}
    exact, dx = by_loop(
        [x.astype(np.float32) for x in half],
        DY.astype(jnp.bfloat16).astype(np.float32),
        sampling=2,
        aligned=False,
    )
    np.testing.assert_allclose(y.astype(np.float32), exact, rtol=2**-8, atol=1e-3)
    np.testing.assert_allclose(gradients[1].astype(np.float32), dx[1], rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reduce": "median"}, "reduce is 'median': it must be one of mean, max"),
        ({"reduce": "max", "sampling": 0}, "a maximum needs a fixed number of samples"),
        ({"form": "quick"}, "form is 'quick'"),
    ],
)
def test_what_cannot_be_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        roi_align(maps_of(), STRIDES, ROIS, LEVEL, SIZE, **how)


def test_what_reads_the_result_does_not_compute_it_again():
    """The gathers of the fast form are in a branch, which XLA:CPU fuses with nothing."""

    def padded(maps, rois, level):
        y = roi_align(maps, STRIDES, rois, level, SIZE, form="fast")
        return jnp.pad(y, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])

    lowered = jax.jit(padded).lower(maps_of(), ROIS, LEVEL)
    text = lowered.compile(compiler_options=QUICK).as_text()
    computations = [part.partition("\n}")[0] for part in text.split("\n%")]
    gathering = [part for part in computations if " gather(" in part]
    assert gathering
    assert not any(" pad(" in part for part in gathering)
    assert " conditional(" in text
