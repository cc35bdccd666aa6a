"""The 80 categories of COCO, from a file with outputs for 91 ids."""

import numpy as np
import pytest

from jaxseg.data.builders import coco
from jaxseg.models.compat_detection import torchvision_mask_rcnn
from jaxseg.weights import match
from jaxseg.weights.load import table_of
from jaxseg.weights.tables import coco_categories
from tests.helpers.variables import shapes_of

HEADS = {
    "roi_heads.box_predictor.cls_score.bias": ("params/predictor/classes/bias", 1),
    "roi_heads.box_predictor.bbox_pred.bias": ("params/predictor/boxes/bias", 4),
    "roi_heads.mask_predictor.mask_fcn_logits.bias": ("params/mask_head/masks/bias", 1),
}
NAMES = {"rpn.head.cls_logits.weight", "backbone.body.conv1.weight", *HEADS}


def _carried(outputs, classes):
    """The ids whose outputs each leaf gets, from a file of `outputs` ids."""
    source = {
        name: np.repeat(np.arange(outputs, dtype=np.float32), values)
        for name, (_, values) in HEADS.items()
    }
    target = shapes_of(torchvision_mask_rcnn(classes), (64, 64))
    table = coco_categories.of_used(source, target, table_of(NAMES))
    entry_of = {entry.target: entry for entry in table.entries}
    leaves = dict(match.leaves_of(target))
    found = {}
    for path, values in HEADS.values():
        entry = entry_of[path]
        given = entry.transform(source[entry.source])
        assert (given.shape == leaves[path].shape) == (given.size == leaves[path].size)
        found[path] = given.reshape(-1, values)[:, 0].tolist()
    return list(found.values())


def test_a_model_of_80_classes_takes_the_used():
    used = [0, *coco.CATEGORIES]
    assert _carried(91, 80) == [used, used, used]


@pytest.mark.parametrize(("outputs", "classes"), [(91, 90), (81, 80), (6, 5)])
def test_other_numbers_of_classes_are_left_as_they_are(outputs, classes):
    assert _carried(outputs, classes) == [[*range(outputs)]] * 3
