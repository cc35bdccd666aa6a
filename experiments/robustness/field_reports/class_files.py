"""D. Class files: content that is not understood is refused, with its line number."""

import functools
import pathlib

from experiments.robustness.field_reports.situation import Seen, Situation, refusal, right
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers.class_file import read_classes

_TESTS = "tests/data/readers/test_class_file.py::"
_RGB = ((128, 64, 128), (0, 0, 142))


def _read(
    name: str,
    data: bytes,
    names: tuple[str, ...],
    ids: dict[int, int],
    colours: bool,
    root: pathlib.Path,
) -> Seen:
    """A file that must be understood."""
    (root / name).write_bytes(data)
    found = read_classes(root / name)
    same = (found.labels.names, dict(found.labels.raw_to_train)) == (names, ids)
    if colours:
        same &= found.labels.palette == _RGB and found.colours == dict(zip(_RGB, ids, strict=True))
    return right(same, found.text().replace(f"{root}/", ""))


def _refused(name: str, data: bytes, words: tuple[str, ...], root: pathlib.Path) -> Seen:
    """A file that must be refused, with its line number."""
    (root / name).write_bytes(data)
    return refusal(lambda: read_classes(root / name), name, *words)


_ROAD = ("road", "car")
_COUNTED = {0: 0, 1: 1}
_UNDERSTOOD = (  # input, former outcome, the file, its names, ids, whether by colour
    (
        "a byte-order mark before `void`",
        "void became a class, every id one too high",
        "classes.txt",
        "\ufeffvoid\nroad\ncar\n",
        _ROAD,
        {0: 255, 1: 0, 2: 1, 255: 255},
        False,
    ),
    (
        "a file in UTF-16, as Notepad saves it",
        "refused, in words about codecs",
        "classes.txt",
        "\ufeffroad\r\ncar\r\n".encode("utf-16-le"),
        _ROAD,
        _COUNTED,
        False,
    ),
    (
        "a header `name,r,g,b` (class_dict.csv)",
        "the header became class 0, every id shifted",
        "class_dict.csv",
        "name,r,g,b\nroad,128,64,128\ncar,0,0,142\n",
        _ROAD,
        _COUNTED,
        True,
    ),
    (
        "a header `id;name`",
        "the lines became names, `7;road`",
        "classes.csv",
        "id;name\n7;road\n8;car\n",
        _ROAD,
        {7: 0, 8: 1},
        False,
    ),
    (
        "lines `0: road`",
        "the lines became names, `0: road`",
        "classes.txt",
        "0: road\n1: car\n",
        _ROAD,
        _COUNTED,
        False,
    ),
    (
        "lines `road: 3`",
        "the lines became names, the ids 0 and 1",
        "classes.txt",
        "road: 3\ncar: 7\n",
        _ROAD,
        {3: 0, 7: 1},
        False,
    ),
    (
        "lines `road #804080`",
        "the colours were lost, masks read by number",
        "classes.txt",
        "road #804080\ncar #00008e\n",
        _ROAD,
        _COUNTED,
        True,
    ),
    (
        "CVAT's labelmap",
        "the lines became names, `road:128 64 128::`",
        "labelmap.txt",
        "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:0,0,142::\n",
        _ROAD,
        _COUNTED,
        True,
    ),
    (
        "CamVid's label_colors.txt, the colour first",
        "red became the id: 128 and 0",
        "label_colors.txt",
        "128 64 128\troad\n0 0 142\t\tcar\n",
        _ROAD,
        _COUNTED,
        True,
    ),
    (
        "labelme's labels.txt",
        "__ignore__ became class 0, every id one too high",
        "labels.txt",
        "__ignore__\n_background_\ncat\n",
        ("_background_", "cat"),
        {255: 255, 0: 0, 1: 1},
        False,
    ),
    (
        "COCO's categories",
        "refused",
        "classes.json",
        '{"categories": [{"id": 1, "name": "road", "supercategory": "none"}, '
        '{"id": 3, "name": "car"}]}',
        _ROAD,
        {1: 0, 3: 1},
        False,
    ),
    (
        "a table of ids in JSON (id2label)",
        "refused",
        "classes.json",
        '{"0": "road", "1": "car"}',
        _ROAD,
        _COUNTED,
        False,
    ),
    (
        "YOLO's data.yaml",
        "`nc: 2` became a class",
        "data.yaml",
        "nc: 2\nnames: [road, car]\n",
        _ROAD,
        _COUNTED,
        False,
    ),
    (
        "a bare `void` below names",
        "255 in the masks was refused",
        "classes.txt",
        "road\ncar\nvoid\n",
        _ROAD,
        {0: 0, 1: 1, 2: 255, 255: 255},
        False,
    ),
    (
        "a bare `void` below names with ids",
        "refused: 'void' has no id, others have",
        "classes.txt",
        "0 road\n1 car\nvoid\n",
        _ROAD,
        {0: 0, 1: 1, 255: 255},
        False,
    ),
    (
        "quoted names, one with a comma",
        "quotation marks became part of the names",
        "classes.csv",
        '0,"road"\n1,"car, parked"\n',
        ("road", "car, parked"),
        _COUNTED,
        False,
    ),
)
_NOT_UNDERSTOOD = (  # input, former outcome, the file, words of the message
    (
        "a colour in one line of two",
        "read by number, the colour dropped",
        "classes.txt",
        "sky 1 2 3\ntree\n",
        ("line 2", "'tree' has no colour"),
    ),
    (
        "a colour of four numbers",
        "`road 128` with the colour 64 128 255",
        "classes.txt",
        "road 128 64 128 255\n",
        ("line 1", "accepted are"),
    ),
    (
        "a colour of two numbers",
        "`road 128 64` became a name",
        "classes.txt",
        "ground 0 0 0\nroad 128 64\n",
        ("line 2", "accepted are"),
    ),
    (
        "several names in a line",
        "one class `ground road car`",
        "classes.txt",
        "ground,road,car\n",
        ("line 1", "two names in one line"),
    ),
    (
        "a number behind the name",
        "it became part of the name",
        "classes.txt",
        "ground\nroad 7\n",
        ("line 2", "accepted are", "quotes"),
    ),
    (
        "a cut colour `road #80408`",
        "it was taken for a comment",
        "classes.txt",
        "ground #000000\nroad #80408\n",
        ("line 2", "neither a colour"),
    ),
    (
        "`#804080 road`",
        "the line was taken for a comment: a class was lost",
        "classes.txt",
        "ground #000000\n#804080 road\n",
        ("line 2", "write NAME #RRGGBB"),
    ),
    (
        "numbers as `1.`",
        "they became part of the names",
        "classes.txt",
        "1. road\n2. car\n",
        ("line 1", "'1.'"),
    ),
    (
        "a heading `Classes:`",
        "it became class 0, every id shifted",
        "classes.txt",
        "Classes:\nroad\n",
        ("line 1", "accepted are"),
    ),
    (
        "a header with an unknown column",
        "the header became class 0",
        "classes.csv",
        "name,r,g,b,evaluate\nroad,1,2,3,1\n",
        ("line 1", "unknown columns: evaluate"),
    ),
    (
        "one name in two Unicode forms",
        "two classes",
        "classes.txt",
        "caf\u00e9\ncafe\u0301\n",
        ("line 2", "occurs twice"),
    ),
    (
        "a line separator inside a name",
        "two classes, the ids after it shifted",
        "classes.txt",
        "road\u2028\x85way\ncar\n",
        ("line 1", "control character"),
    ),
    (
        "a duplicate key in JSON",
        "the last won",
        "classes.json",
        '[{"name": "road",\n "name": "car"}]',
        ("line 1", "a class must be a name"),
    ),
    (
        "a duplicate id in YAML",
        "lines of YAML became names",
        "data.yaml",
        "names:\n  0: road\n  0: car\n",
        ("line 3", "the id 0 occurs twice"),
    ),
)


def _changed_labels(root: pathlib.Path) -> Seen:
    text = LabelSpec(("a", "b"), ((0, 0, 0), (1, 1, 1)), {0: 0, 7: 1}).to_json()
    return refusal(
        lambda: LabelSpec.from_json(text.replace('"7": 1', '"7": 1, "7": 0')), "not a LabelSpec"
    )


SITUATIONS: tuple[Situation, ...] = (
    *(
        Situation(
            "D",
            name,
            before,
            f"{_TESTS}test_a_bare_void_means_255_where_no_class_does"
            if "bare" in name or "labelme" in name
            else f"{_TESTS}test_encodings_with_a_mark"
            if "UTF" in name or "byte" in name
            else f"{_TESTS}test_json_and_yaml"
            if file.endswith(("json", "yaml"))
            else f"{_TESTS}test_names_and_colours"
            if colours
            else f"{_TESTS}test_ids_and_names",
            functools.partial(
                _read, file, text if isinstance(text, bytes) else text.encode(), names, ids, colours
            ),
        )
        for name, before, file, text, names, ids, colours in _UNDERSTOOD
    ),
    *(
        Situation(
            "D",
            name,
            before,
            f"{_TESTS}test_what_is_not_understood_is_refused_with_its_line"
            if file.endswith(("txt", "csv"))
            else f"{_TESTS}test_wrong_files_name_the_file_and_the_fault",
            functools.partial(_refused, file, text.encode(), words),
        )
        for name, before, file, text, words in _NOT_UNDERSTOOD
    ),
    Situation(
        "D",
        "labels.json whose ids stand twice",
        "the last won",
        "tests/data/test_labels.py::test_a_changed_text_of_a_spec_is_refused",
        _changed_labels,
    ),
)
