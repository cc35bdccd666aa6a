"""Drawing of polygons, and the table of labels, against cityscapesScripts."""

import json

import numpy as np
import pytest

from jaxseg.data.builders import cityscapes

judge = pytest.importorskip(
    "cityscapesscripts.preparation.json2labelImg",
    reason="needs cityscapesscripts: requirements/other_libraries.txt",
)
from cityscapesscripts.helpers import annotation, labels  # noqa: E402

pytestmark = pytest.mark.other_libraries


def test_the_labels_are_theirs():
    theirs = {each.name: each for each in labels.labels if each.id <= 33}
    assert {name: each.id for name, each in theirs.items()} == cityscapes.IDS
    for train, (name, colour) in enumerate(
        zip(cityscapes.LABELS.names, cityscapes.LABELS.palette, strict=True)
    ):
        assert theirs[name].trainId == train
        assert theirs[name].color == colour


def test_drawn_masks_agree_to_the_pixel(tmp_path):
    rng = np.random.default_rng(0)
    names = [*cityscapes.IDS, "cargroup", "persongroup", "bicyclegroup"]
    for k in range(20):
        things = [
            {
                "label": names[int(rng.integers(len(names)))],
                "polygon": rng.integers(-20, 150, (int(rng.integers(3, 15)), 2)).tolist(),
                **({"deleted": int(rng.integers(2))} if rng.random() < 0.5 else {}),
            }
            for _ in range(15)
        ]
        path = tmp_path / f"{k}_gtFine_polygons.json"
        path.write_text(json.dumps({"imgHeight": 90, "imgWidth": 130, "objects": things}))
        theirs = annotation.Annotation()
        theirs.fromJsonFile(str(path))
        expected = np.asarray(judge.createLabelImage(theirs, "ids"))
        np.testing.assert_array_equal(cityscapes.draw_polygons(path), expected)
