"""The plots of a report: running means, and the trimap's lines with their names."""

import numpy as np
import pytest

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


def test_trimap_lines_are_named_in_the_plot_and_gaps_stay_gaps():
    lines = [
        Line("_a $x$", [1, 2, 4], [0.5, None, 0.7], 0, 0),
        Line("b<", [1, 2], [0.1, 0.2], 1, 1),
    ]
    figure = plots.trimap(lines, "classes")
    first, second = figure.axes[0].lines
    np.testing.assert_array_equal(first.get_ydata(), [0.5, np.nan, 0.7])
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    drawn = plots.svg(figure, "title", "p")
    assert "_a $x$" in drawn
    assert "b&lt;" in drawn
    assert "var(--series-1)" in drawn
    assert plots.trimap([Line("a", [1], [None], 0, 0)], "void") is None
    assert plots.trimap([], "") is None
