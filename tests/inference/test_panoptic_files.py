"""Files of segments: the colours of ids, and what the JSON says of them."""

import json

import numpy as np

from jaxseg.data.labels import LabelSpec
from jaxseg.inference import panoptic_files
from jaxseg.postprocess.panoptic import Panoptic

STUFF = LabelSpec(("things", "road", "sky"), ((0, 0, 0),) * 3, {24: 0, 7: 1, 23: 2, 0: 255})
LABELS = LabelSpec(("person", "car"), ((1, 1, 1), (2, 2, 2)), {24: 0, 26: 1}, STUFF)


def test_ids_are_coloured_as_coco_does():
    ids = np.array([[0, 1, 255, 256], [257, 65536, 65793, 2**24 - 1]])
    colours = panoptic_files.colours_of(ids)
    assert colours[0].tolist() == [[0, 0, 0], [1, 0, 0], [255, 0, 0], [0, 1, 0]]
    assert colours[1].tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 1], [255, 255, 255]]
    np.testing.assert_array_equal(colours.astype(int) @ [1, 256, 65536], ids)


def test_segments_have_the_published_categories(tmp_path):
    found = Panoptic(np.array([[1, 1, 2, 0]], np.int32), {1: 1, 2: 3})  # a car, and sky
    assert panoptic_files.category_ids(LABELS) == [24, 26, 7, 23]
    one = panoptic_files.annotation("a/b", found, LABELS)
    assert one["file_name"] == "a/b.png"
    assert [(s["category_id"], s["area"]) for s in one["segments_info"]] == [(26, 2), (23, 1)]
    panoptic_files.write_json(tmp_path, [{"id": 5, "file_name": "a/b.jpg"}], [one], LABELS)
    about = json.loads((tmp_path / "panoptic.json").read_text())
    assert about["annotations"][0]["image_id"] == 5
    things = {each["name"]: each["isthing"] for each in about["categories"]}
    assert things == {"person": 1, "car": 1, "road": 0, "sky": 0}
