"""The ways of RoIAlign's fast form: by tiles and by matrices, without a scatter."""

import jax
import numpy as np
import pytest

from jaxseg.layers.fast import roi_align as fast
from jaxseg.layers.roi_align import roi_align
from tests.layers.test_roi_align import DY, LEVEL, ROIS, SIZE, STRIDES, both, compare, maps_of


@pytest.mark.parametrize(
    ("platform", "sampling"), [("cpu", 2), ("cuda", 2), ("tpu", 2), ("cpu", 0), ("tpu", 0)]
)
def test_each_machine_s_way_gives_what_the_definition_gives(platform, sampling, monkeypatch):
    """Here, on a CPU; with tiles and chunks so small that RoIs have several."""
    rois = ROIS.clip(0, [56, 72, 56, 72]).astype(np.float32)
    expected = both(roi_align, maps_of(), DY, rois, sampling=sampling, form="plain")
    monkeypatch.setattr(fast, "_TILE", 3)
    monkeypatch.setattr(fast, "_AT_ONCE", 2)
    monkeypatch.setattr(
        fast.lax,
        "platform_dependent",
        lambda *x, default, **ways: ways.get(platform, default)(*x),
    )
    found = both(roi_align, maps_of(), DY, rois, sampling=sampling, form="fast")
    compare(found, expected)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("sampling", [2, 0])
def test_no_scatter_is_lowered(sampling, platform):
    """In value and gradient; the plain form's gradient has one, so the word is the right one."""

    def scatters(form):
        def run(maps, dy):
            how = {"sampling": sampling, "form": form}
            y, pull = jax.vjp(lambda x: roi_align(x, STRIDES, ROIS, LEVEL, SIZE, **how), maps)
            return y, pull(dy)

        traced = jax.jit(run).trace(maps_of(), DY)
        return "scatter" in traced.lower(lowering_platforms=(platform,)).as_text()

    assert not scatters("fast")
    assert not scatters("auto")
    assert scatters("plain")


def test_the_gradient_is_the_same_each_time():
    """RoIs that overlap are added in one order."""
    first, second = (both(roi_align, maps_of(), DY, form="fast")[1] for _ in range(2))
    for x, y in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, y)
