import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.data.builders import camvid, shapes, voc2012
from jaxseg.data.labels import LabelSpec, voc_palette

TWO = LabelSpec(("road", "car"), ((1, 2, 3), (4, 5, 6)), {7: 0, 26: 1, 300: 1, 0: 255, 255: 255})


def test_classes_of_stuff_are_kept_in_the_text_of_a_spec():
    stuff = LabelSpec(("things", "road"), ((0, 0, 0), (1, 2, 3)), {7: 1, 9: 0, 3: 255})
    spec = LabelSpec(("car",), ((4, 5, 6),), {9: 0}, stuff)
    assert LabelSpec.from_json(spec.to_json()) == spec
    plain = LabelSpec(("car",), ((4, 5, 6),), {9: 0})
    assert "stuff" not in plain.to_json()
    with pytest.raises(ValueError, match="not a LabelSpec"):
        LabelSpec.from_json(spec.to_json().replace('"road"', "3"))


def test_each_raw_id_goes_where_the_spec_says():
    raw = np.array([[7, 26, 300], [0, 255, 7]], np.uint16)
    assert TWO.encode(raw, "x").tolist() == [[0, 1, 1], [255, 255, 0]]
    assert TWO.encode(raw, "x").dtype == np.uint8


def test_unknown_ids_are_named_with_file_and_count():
    raw = np.array([[7, 8, 8], [26, 9, 7]], np.uint8)
    with pytest.raises(ValueError, match=r"masks/a\.png: .*8 \(2 pixels\), 9 \(1 pixels\)"):
        TWO.encode(raw, "masks/a.png")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40, unique=True), st.data())
def test_encode_equals_a_dictionary(raws, data):
    k = data.draw(st.integers(1, len(raws)))
    train = [
        *range(k),
        *data.draw(
            st.lists(
                st.sampled_from([*range(k), 255]), min_size=len(raws) - k, max_size=len(raws) - k
            )
        ),
    ]
    table = dict(zip(raws, train, strict=True))
    spec = LabelSpec(tuple(map(str, range(k))), ((0, 0, 0),) * k, table)
    raw = np.array(data.draw(st.lists(st.sampled_from(raws), min_size=1, max_size=30)), np.uint16)
    assert spec.encode(raw, "x").tolist() == [table[i] for i in raw.tolist()]
    assert LabelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("names", "palette", "table", "message"),
    [
        ((), (), {}, "1 to 254 classes"),
        (("a", "a"), ((0, 0, 0),) * 2, {0: 0, 1: 1}, "occur twice: a"),
        (("a", "b"), ((0, 0, 0),), {0: 0, 1: 1}, "2 names but 1 colours"),
        (("a",), ((0, 0, 0),), {0: 0, 1: 1}, "raw id 1 leads to 1"),
        (("a",), ((0, 0, 0),), {70000: 0}, "raw id 70000"),
        (("a", "b"), ((0, 0, 0),) * 2, {0: 0}, "no raw id leads to: b"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(names, palette, table, message):
    with pytest.raises(ValueError, match=message):
        LabelSpec(names, palette, table)


def test_not_a_spec():
    with pytest.raises(ValueError, match="not a LabelSpec"):
        LabelSpec.from_json('{"names": ["a"]}')
    with pytest.raises(ValueError, match="float32, not uint8"):
        TWO.encode(np.zeros((2, 2), np.float32), "x")


GOOD = '{"names": ["a", "b"], "palette": [[1, 2, 3], [4, 5, 6]], "raw_to_train": {"0": 0, "7": 1}}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"7": 1', '"7": 1, "7": 0'),
        ('"7": 1', '"07": 1'),
        ('"7": 1', '"seven": 1'),
        ('"7": 1', '"7": true'),
        ('"7": 1', '"7": 1.0'),
        ("[4, 5, 6]", "[4, 5, 600]"),
        ("[4, 5, 6]", "[4, 5]"),
        ("[4, 5, 6]", '"456"'),
        ('["a", "b"]', '"ab"'),
        ('["a", "b"]', '["a", 7]'),
        ('{"0": 0, "7": 1}', "[0, 1]"),
        (GOOD, "[" * 100_000),
        (GOOD, "3"),
    ],
)
def test_a_changed_text_of_a_spec_is_refused(old, new):
    assert LabelSpec.from_json("\ufeff" + GOOD).raw_to_train == {0: 0, 7: 1}
    with pytest.raises(ValueError, match="not a LabelSpec"):
        LabelSpec.from_json(GOOD.replace(old, new))


def test_colours_of_classes_and_void():
    assert TWO.colour(np.array([[0, 1, 255]], np.uint8))[0, :2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert TWO.colour(np.array([255], np.uint8)).min() > 128


def test_voc_palette_is_the_devkits():
    """The colours that VOC's own documentation prints."""
    colours = voc_palette(256)
    assert colours[1] == (128, 0, 0)  # aeroplane
    assert colours[8] == (64, 0, 0)  # cat
    assert colours[15] == (192, 128, 128)  # person
    assert colours[20] == (0, 64, 128)  # tvmonitor
    assert colours[255] == (224, 224, 192)  # void
    assert len(set(colours)) == 256


@pytest.mark.parametrize(
    ("spec", "classes", "void"),
    [(camvid.LABELS, 11, 11), (voc2012.LABELS, 21, 255), (shapes.LABELS, 7, 255)],
)
def test_published_sets(spec, classes, void):
    assert spec.num_classes == classes
    assert spec.raw_to_train == {**{k: k for k in range(classes)}, void: 255}
