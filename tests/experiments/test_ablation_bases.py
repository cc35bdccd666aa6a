"""The small bases: the receptive fields that `cause` states are right."""

import pytest

from experiments.ablation import ablation
from experiments.bases import small
from jaxseg.inspection import summary


def _to_each_side(experiment):
    """Pixels that a score sees to each side, the enlarging of the scores left out."""
    layers = summary.summarize(experiment.model, experiment.data.crop_size).layers
    (classifier,) = (layer for layer in layers if layer.path == "classifier")
    return (classifier.field - 1) // 2


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("deeplab_v3/table2", {"block4": 11, "block5": 19, "block6": 35, "block7": 67}),
        (
            "deeplab_v3/table3",
            {
                "(1, 1, 1), block4": 19,
                "(1, 2, 1), block4": 23,
                "(1, 2, 3), block4": 31,
                "(1, 2, 4), block4": 35,
                "(2, 2, 2), block4": 31,
            },
        ),
        ("deeplab_v3/aspp", {"no rate": 11, "one rate": 27, "three rates": 59, "four rates": 75}),
    ],
)
def test_receptive_fields(name, sides):
    table = ablation.named(name)
    rows = {row.name: row for row in ablation.rows_of(table, "shapes")}
    found = {
        row: _to_each_side(ablation.experiment_of(table, "shapes", rows[row])) for row in sides
    }
    assert found == sides


def test_the_encoder_alone_has_the_parameters_of_the_encoder():
    """v3+ without decoder: the decoder of the paper's sizes has 1,303,648 parameters."""
    plus = small.camvid_v3_plus()
    alone = small.encoder_alone(plus)
    counts = [summary.summarize(model, (65, 65)).parameters for model in (plus.model, alone)]
    assert counts[0] - counts[1] == 1_303_648
