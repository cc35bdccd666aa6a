"""Classes that a mirror image swaps are found by their names, and flips of them are refused."""

import pytest

from jaxseg import config, train
from jaxseg.data.augment import mirrored
from jaxseg.data.frames import Framing
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.evaluation import split
from jaxseg.inference import predictor
from tests.helpers.programs import tiny

PARSING = ("ground", "left_arm", "right_arm")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (PARSING, [("left_arm", "right_arm")]),
        (("Left Eye", "right eye", "nose"), [("Left Eye", "right eye")]),
        (("leftover", "bright", "copyright"), []),
        (("left lane", "right arm", "road"), []),
    ],
)
def test_pairs_differ_in_left_and_right_alone(names, pairs):
    assert mirrored.exchanged(names) == pairs


def test_training_evaluation_and_prediction_refuse_to_mirror_them(tmp_path):
    sources = tiny.sources()
    for source in sources:
        source.labels = LabelSpec(PARSING, voc_palette(3), source.labels.raw_to_train)
    words = r"exchanges the classes 'left_arm' and 'right_arm': set --config\.{}=False"
    experiment = tiny.experiment(steps=1)
    with pytest.raises(ValueError, match=words.format(r"data\.augment\.flip")):
        train.fit(experiment, tmp_path / "run", data=sources)
    protocol = config.Eval(flip=True)
    given = {"protocol": protocol, "normalisation": config.Normalisation((0.0,) * 3, (1.0,) * 3)}
    with pytest.raises(ValueError, match=words.format(r"eval\.flip")):
        split.evaluate(tiny.Tiny(), {}, sources[1], crop=(16, 16), **given)
    with pytest.raises(ValueError, match=words.format(r"eval\.flip")):
        predictor.make_predictor(
            tiny.Tiny(), sources[0].labels, framing=Framing((0, 0), (16, 16)), **given
        )
