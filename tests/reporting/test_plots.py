"""The plots of a report: running means, and the trimap's lines with their names."""

import base64

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxseg.reporting import plots
from jaxseg.reporting.plots import Line


@pytest.mark.parametrize("missing", [0, 3, 59])
def test_smoothing_keeps_straight_lines_and_gaps(missing):
    values = [2.0 + i for i in range(60)]
    values[missing] = None
    smooth = plots.smoothed(values)
    assert smooth[missing] is None
    far = [i for i in range(60) if abs(i - missing) > 2]
    np.testing.assert_allclose([smooth[i] for i in far], [values[i] for i in far])


def drawn(draw):
    """The two drawings of a plot, as text."""
    uris = plots.image(draw)
    return [
        base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode() for uri in uris
    ]


def test_trimap_lines_are_named_in_the_plot_and_gaps_stay_gaps():
    lines = [
        Line("_a $x$", [1, 2, 4], [0.5, None, 0.7], 0, 0),
        Line("b<", [1, 2], [0.1, 0.2], 1, 1),
    ]
    axes = Figure().add_subplot()
    plots.trimap(axes, lines, "classes")
    first, second = axes.lines
    np.testing.assert_array_equal(first.get_ydata(), [0.5, np.nan, 0.7])
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    light, dark = drawn(lambda axes: plots.trimap(axes, lines, "classes"))
    for text, colours in ((light, plots.LIGHT), (dark, plots.DARK)):
        assert "_a $x$" in text
        assert "b&lt;" in text
        assert colours[1] in text
    assert plots.LIGHT[1] not in dark


def test_a_plot_is_drawn_alike_each_time_and_stays_small():
    steps = list(range(3000))
    lines = [Line("", steps, [1 / (1 + step) + step % 7 for step in steps])]
    once, again = (plots.image(lambda axes: plots.curves(axes, lines)) for _ in "ab")
    assert once == again
    assert max(map(len, once)) < 150_000


def test_long_curves_have_a_running_mean_and_short_ones_of_validation_have_points():
    axes = Figure().add_subplot()
    lines = [
        Line("", list(range(99)), [2.0] * 99),
        Line("", [50, 98], [1.0, 1.5], 0, 1),
    ]
    plots.curves(axes, lines)
    training, mean, validation = axes.lines
    assert training.get_alpha() < 1
    np.testing.assert_array_equal(mean.get_ydata(), [2.0] * 99)
    assert (validation.get_linestyle(), validation.get_marker()) == ("--", "o")
    assert training.get_marker() == "None"
