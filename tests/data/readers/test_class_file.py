import codecs
import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.data.labels import voc_palette
from jaxseg.data.readers import class_text
from jaxseg.data.readers.class_file import read_classes

THREE = ("ground", "side walk", "car")
RGB = ((128, 64, 128), (1, 2, 3), (0, 0, 142))


def classes(tmp_path, text, name="classes.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_classes(path)


NAMES_ALONE = {
    "lines": "ground\nside walk\ncar\n",
    "windows": "ground\r\nside walk\r\ncar\r\n",
    "old mac": "ground\rside walk\rcar",
    "blank lines": "\n  ground\n\n\tside walk \ncar\n\n",
    "comments": "# the classes\nground # all else\nside walk\n#bus lane\ncar #",
    "quoted": '"ground"\n\'side walk\'\n"car"\n',
    "trailing commas": "ground,\nside walk,,\ncar;\n",
    "header": "name\nground\nside walk\ncar\n",
    "byte-order mark": "\ufeffground\nside walk\ncar\n",
}


@pytest.mark.parametrize("text", NAMES_ALONE.values(), ids=NAMES_ALONE)
def test_names_alone(tmp_path, text):
    found = classes(tmp_path, text)
    assert found.labels.names == THREE
    assert found.labels.raw_to_train == {0: 0, 1: 1, 2: 2}
    assert (found.colours, found.with_ids) == (None, False)


WITH_IDS = {
    "blank": "7 ground\n8 side walk\n255 void\n9 car",
    "colon": "7: ground\n8: side walk\n255: void\n9: car",
    "comma": "7,ground\n8,side walk\n255,void\n9,car",
    "semicolon": "7;ground\n8;side walk\n255;void\n9;car",
    "tab": "7\tground\n8\tside walk\n255\tvoid\n9\tcar",
    "name first": "ground: 7\nside walk: 8\nvoid: 255\ncar: 9",
    "header": "id,name\n7,ground\n8,side walk\n255,void\n9,car\n",
    "header, other order": "Name;ID\nground;7\nside walk;8\nvoid;255\ncar;9\n",
    "void without an id": "7 ground\n8 side walk\nvoid\n9 car",
}


@pytest.mark.parametrize("text", WITH_IDS.values(), ids=WITH_IDS)
def test_ids_and_names(tmp_path, text):
    found = classes(tmp_path, text)
    assert found.labels.names == THREE
    assert found.labels.raw_to_train == {7: 0, 8: 1, 255: 255, 9: 2}
    assert (found.colours, found.with_ids) == (None, True)


WITH_COLOURS = {
    "blanks": "ground 128 64 128\nside walk 1 2 3\ncar 0 0 142\nvoid 0 0 0",
    "commas": "ground,128,64,128\nside walk, 1, 2, 3\ncar,0,0,142,\nvoid,0,0,0",
    "hex": "ground #804080\nside walk #010203 # curb\ncar #00008E\nvoid #000000",
    "colon and hex": "ground: #804080\nside walk: #010203\ncar: #00008e\nvoid: #000000",
    "class_dict.csv": "name,r,g,b\nground,128,64,128\nside walk,1,2,3\ncar,0,0,142\nvoid,0,0,0",
    "any order": "r, g, b, name\n128,64,128,ground\n1,2,3,side walk\n0,0,142,car\n0,0,0,void",
    "hex column": 'name,hex\nground,#804080\n"side walk",010203\ncar,#00008e\nvoid,#000000',
    "label_colors.txt": "128 64 128\tground\n1 2 3\t\tside walk\n0 0 142\tcar\n0 0 0\tvoid",
    "CVAT": (
        "# label:color_rgb:parts:actions\nground:128,64,128::\nside walk:1,2,3::\n"
        "car:0,0,142:wheel,door:drive\nvoid:0,0,0::\n"
    ),
}


@pytest.mark.parametrize("text", WITH_COLOURS.values(), ids=WITH_COLOURS)
def test_names_and_colours(tmp_path, text):
    found = classes(tmp_path, text)
    assert found.labels.names == THREE
    assert found.labels.palette == RGB
    assert found.labels.raw_to_train == {0: 0, 1: 1, 2: 2, 3: 255}
    assert found.colours == {**dict(zip(RGB, range(3), strict=True)), (0, 0, 0): 3}


@pytest.mark.parametrize(
    "text",
    [
        "7 ground 128 64 128\n8 side walk 1 2 3\n9 car 0 0 142",
        "7,ground,128,64,128\n8,side walk,1,2,3\n9,car,0,0,142",
        "7: ground #804080\n8: side walk #010203\n9: car #00008e",
        "7 128 64 128 ground\n8 1 2 3 side walk\n9 0 0 142 car",
        "id\tname\tcolor\n7\tground\t128 64 128\n8\tside walk\t1,2,3\n9\tcar\t0 0 142",
    ],
)
def test_ids_and_colours_are_read_by_number(tmp_path, text):
    found = classes(tmp_path, text)
    assert (found.labels.names, found.labels.palette) == (THREE, RGB)
    assert found.labels.raw_to_train == {7: 0, 8: 1, 9: 2}
    assert found.colours is None


@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        ("c.json", '["ground", "side walk", "car"]', (0, 1, 2)),
        ("c.json", '{"0": "ground", "2": "side walk", "5": "car"}', (0, 2, 5)),
        ("c.json", '{"ground": 0, "side walk": 2, "car": 5}', (0, 2, 5)),
        (
            "c.JSON",
            '{"info": {}, "categories": [{"id": 1, "name": "ground", "supercategory": "none"},\n'
            '{"id": 2, "name": "side walk"}, {"id": 90, "name": "car", "isthing": 1}]}',
            (1, 2, 90),
        ),
        ("c.yaml", "path: ../x\nnc: 3\nnames: [ground, side walk, car]\n", (0, 1, 2)),
        ("c.yml", "names:\n  0: ground\n  4: side walk\n  5: car\ntrain: images\n", (0, 4, 5)),
    ],
)
def test_json_and_yaml(tmp_path, name, text, ids):
    found = classes(tmp_path, text, name)
    assert found.labels.names == THREE
    assert found.labels.raw_to_train == {raw: k for k, raw in enumerate(ids)}


def test_json_with_colours_ids_and_void(tmp_path):
    values = [
        {"name": "a", "id": 3, "color": [1, 2, 3]},
        {"name": "other", "id": 9, "ignore": True},
        {"name": "b", "id": 4},
        {"name": "ignore", "id": 5, "ignore": False},
    ]
    found = classes(tmp_path, json.dumps(values), "c.json")
    assert found.labels.names == ("a", "b", "ignore")
    assert found.labels.palette[0] == (1, 2, 3)
    assert found.labels.raw_to_train == {3: 0, 9: 255, 4: 1, 5: 2}
    assert found.colours is None
    by_colour = classes(tmp_path, '{"a": [1, 2, 3], "void": [0, 0, 0]}', "d.json")
    assert by_colour.colours == {(1, 2, 3): 0, (0, 0, 0): 1}
    assert by_colour.labels.raw_to_train == {0: 0, 1: 255}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark(tmp_path, encoding):
    """Regression: the mark became a part of the first name, and `void` a class."""
    found = classes(tmp_path, "void\nStraße\nпуть\n".encode(encoding))
    assert found.labels.names == ("Straße", "путь")
    assert found.labels.raw_to_train == {0: 255, 1: 0, 2: 1, 255: 255}


def test_words_that_are_columns_elsewhere_are_names(tmp_path):
    assert classes(tmp_path, "ground\nred\nblue\n").labels.names == ("ground", "red", "blue")
    assert classes(tmp_path, "red\nred green\nvalue\n").labels.names[0] == "red"
    assert classes(tmp_path, '"name"\n"label"\n').labels.names == ("name", "label")


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("ground\ncat\nvoid\n", {0: 0, 1: 1, 2: 255, 255: 255}),
        ("void\ncat\n", {0: 255, 1: 0, 255: 255}),
        ("unlabeled\ncat\n", {0: 255, 1: 0, 255: 255}),
        ("0 ground\n255 cat\n7 void\n", {0: 0, 255: 1, 7: 255}),
        ("0 ground\nignore\n", {0: 0, 255: 255}),
        ("__ignore__\n_background_\ncat\n", {255: 255, 0: 0, 1: 1}),  # labelme's labels.txt
        ("ground\n__ignore__\ncat\n", {0: 0, 1: 255, 2: 1, 255: 255}),
    ],
)
def test_a_bare_void_means_255_where_no_class_does(tmp_path, text, table):
    assert classes(tmp_path, text).labels.raw_to_train == table


def test_void_by_its_place_and_by_255_in_the_same_masks_is_doubted(tmp_path):
    found = classes(tmp_path, "void\ncat\ndog\n")
    assert found.doubts({0, 1, 2}) == []
    assert found.doubts({1, 2, 255}) == []
    assert "give each line its id" in found.doubts({0, 1, 255})[0]


@pytest.mark.parametrize(
    ("text", "seen", "line"),
    [
        (
            "ground\nvessel\n",
            {0, 255},
            "add the line `void`; if the masks mark one class by "
            "255, its lines are `0 ground` and `255 vessel`",
        ),
        ("vessel\n", {0, 255}, "`0 vessel` and `255 NAME`"),
        ("ground\nvessel\n", {0, 1, 255}, "if 255 is void, add the line `void`"),
        ("0 ground\n1 vessel\n", {0, 1, 255}, "if 255 is void, add the line `255 void`"),
        (
            "ground\nvessel\n",
            {0, 7},
            "no class has the id 7: give the lines their ids, as in "
            "`0 ground`, and add a line for each, such as `7 NAME` or `7 void`",
        ),
        ("ground\nvessel\n", {1, 2, 3}, "the ids 2, 3: add a line for each at the end, `NAME` or"),
        ("0 ground\n", {0, 7}, "no class has the id 7: add a line for each, such as `7 NAME`"),
    ],
)
def test_the_line_to_add_is_named(tmp_path, text, seen, line):
    found = classes(tmp_path, text)
    assert line in " ".join(found.doubts(seen))
    assert str(tmp_path / "classes.txt") in found.doubts(seen)[0]


@pytest.mark.parametrize(
    ("old", "added"),
    [("ground\nvessel\n", "void\n"), ("0 ground\n1 vessel\n", "255 void\n")],
)
def test_the_line_that_is_named_fixes_it(tmp_path, old, added):
    assert classes(tmp_path, old).doubts({0, 1, 255})
    assert not classes(tmp_path, old + added).doubts({0, 1, 255})


REFUSED = [
    ("ground\nroad 7\n", 2, "accepted are"),
    ("ground\nGrade 1, Grade 2\n", 2, "accepted are"),
    ("ground,road,car\n", 1, "two names in one line"),
    ("1 a\n3 4\n", 2, "accepted are"),
    ("7\n8\n", 1, "accepted are"),
    ("a 1 2\n", 1, "accepted are"),
    ("a 1 2 3 4\n", 1, "accepted are"),
    ("a 1 2 300\n", 1, "0 to 255"),
    ("a\n\nb #80408\n", 3, "neither a colour"),
    ("a\nb #curb\n", 2, "neither a colour"),
    ("a\n#804080 b\n", 2, "write NAME #RRGGBB"),
    ("a\n#80408 b\n", 2, "begins like a colour"),
    ("a\nroad#804080\n", 2, "not understood"),
    ("Classes:\na\nb\n", 1, "accepted are"),
    ("- a\n- b\n", 1, "accepted are"),
    ("1. a\n2. b\n", 1, "'1.'"),
    ("-1 a\n0 b\n", 1, "'-1'"),
    ("0.5 a\n", 1, "'0.5'"),
    ("٣ a\n", 1, "not understood"),
    ("road = 0\n", 1, "'='"),
    ("road (0)\n", 1, "(0)"),
    ('"a\nb\n', 1, "quotation mark"),
    ("a,,1\n", 1, "accepted are"),
    (",a\n", 1, "accepted are"),
    ('""\n', 1, "without a name"),
    ("a\n1 b\n", 1, "'a' has no id"),
    ("1 a\nb\n", 2, "'b' has no id"),
    ("a 1 2 3\nb\n", 2, "'b' has no colour"),
    ("a 1 2 3\nvoid\n", 2, "'void' has no colour"),
    ("1 a\n1 b\n", 2, "the id 1 occurs twice; see"),
    ("a\nb\na\n", 3, "the name a occurs twice; see"),
    ("a\u0301\n\u00e1\n", 2, "occurs twice"),
    ("a 1 2 3\nb 1 2 3\n", 2, "the colour 1 2 3 occurs twice; see"),
    ("70000 a\n", 1, "0 to 65535"),
    ("1 a\n99999999999999999999999 b\n", 2, "not understood"),
    ("0 a\n255 b\nvoid\n", 3, "void without an id is 255"),
    ("name,r,g,b,alpha\na,1,2,3,4\n", 1, "unknown columns: alpha"),
    ("name,r,g\na,1,2\n", 1, "r, g and b"),
    ("r,g,b\n1,2,3\n", 1, "needs a name"),
    ("name,name\na,b\n", 1, "each column once"),
    ("name,r,g,b\na,1,2\n", 2, "has 3 columns, but its header has 4"),
    ("name,r,g,b\na,1,2,x\n", 2, "three whole numbers"),
    ("name,r,g,b\na,1,2,3\nname,r,g,b\n", 3, "must be the first line"),
    ("a\nlabel\n", 2, "must be the first line"),
    ("name,id\na,0\nb,one\n", 3, "'one' is not a whole number"),
    ("name,id\n#a,0\n", 2, "a space after the #"),
    ('name,id\n"a,0\n', 2, "do not match"),
    ("a\nb\u2028c\x07\n", 2, "control character"),
    ("a\n\ufeffb\n", 2, "control character"),
    ("a\nb\u2028c\n", 2, "control character"),
    ("a\nb\x85c\n", 2, "control character"),
    ("a\n\u2028\nb\n", 2, "control character"),
    ("a\n\x0cb\n", 2, "control character"),
    ('["a", "b"]', 1, "*.json"),
]


@pytest.mark.parametrize(("text", "line", "message"), REFUSED)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path, text, line, message):
    with pytest.raises(ValueError, match="classes") as error:
        classes(tmp_path, text)
    assert f"{tmp_path / 'classes.txt'} line {line}:" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.txt", b"", "names no classes"),
        ("c.txt", b"# none\n\n", "names no classes"),
        ("c.txt", b"void\n", "1 to 254 classes"),
        ("c.txt", b"sky\n\xff\xfe road\n", "is not a text file in UTF-8: byte 4"),
        ("c.txt", "sky\n".encode("utf-16-le"), "it holds NUL"),
        ("c.txt", codecs.BOM_UTF16_LE + b"a", "not a text file in UTF-16"),
        ("c.json", b"{", "is not JSON"),
        ("c.json", b"3", "holds no list of classes"),
        ("c.json", b'{"names": ["sky"]}', "line 1: 'names'"),
        ("c.json", b'[\n"a",\n{"id": 3}]', "line 3: .*a class must be a name"),
        ("c.json", b'[{"name": "a", "colr": 3}]', "'colr' is not known"),
        ("c.json", b'[{"name": "a", "name": "b"}]', "a class must be a name"),
        ("c.json", b'[{"name": "sky", "id": "0"}]', "not a whole number"),
        ("c.json", b'[{"name": "sky", "id": true}]', "not a whole number"),
        ("c.json", b'[{"name": "sky", "id": -1}]', "0 to 65535"),
        ("c.json", b'[{"name": "sky", "color": 5}]', "a colour has three numbers"),
        ("c.json", b'[{"name": "sky", "color": [true, 2, 3]}]', "a colour has three numbers"),
        ("c.json", b'[{"name": "sky", "color": [1, 2, -3]}]', "a colour has three numbers"),
        ("c.json", b'[{"name": "sky", "ignore": "no"}]', "not true or false"),
        ("c.json", b'[{"name": 5}]', "a class must be a name"),
        ("c.json", b'{"0": "a", "0": "b"}', "'0' occurs twice"),
        ("c.json", b'{"categories": {"0": "a"}}', "categories is not a list"),
        ("c.json", b"[]", "names no classes"),
        ("c.yaml", b"names: [a, [b]]", "line 1"),
        ("c.yaml", b"names:\n  0: a\n  0: b\n", "line 3: the id 0 occurs twice"),
        ("c.yaml", b"names: [a, b]\nnc: 3\n", "nc is 3, but there are 2 names"),
        ("c.yaml", b"train: x\n", "`names`"),
        ("c.yaml", b"names: [a", "is not YAML"),
        ("c.yaml", b"names: 3\n", "neither a list nor a table"),
    ],
)
def test_wrong_files_name_the_file_and_the_fault(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message) as error:
        classes(tmp_path, text, name)
    assert str(tmp_path / name) in str(error.value)


def test_yaml_names_are_text(tmp_path):
    found = classes(tmp_path, "names: [yes, no, 1e3, null]", "c.yaml")
    assert found.labels.names == ("yes", "no", "1e3", "null")


def test_the_line_that_prepare_prints(tmp_path):
    text = classes(tmp_path, "7 road\n8 car\n255 void\n").text()
    assert text.endswith("2 classes, masks are read by number: 7 road, 8 car; void: 255")


# Random classes in every form.

WORD = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=6)
BARE = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
ANY = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"], exclude_characters='"\ufeff'),
    min_size=1,
    max_size=8,
)
COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


def unlike(names):
    """Names that no form has a use for, each once."""
    special = {"void", "ignore", "unlabeled", "unlabelled", "__ignore__", *class_text._COLUMNS}
    folded = [name.lower() for name in names]
    return not special & {word for name in folded for word in (name, *name.split())}


@st.composite
def spec(draw, names=BARE):
    count = draw(st.integers(1, 6))
    plain = names.map(lambda name: unicodedata.normalize("NFC", name)).filter(str.strip)
    unique = st.lists(plain, min_size=count, max_size=count, unique=True).filter(unlike)
    ids = st.lists(st.integers(0, 65535), min_size=count, max_size=count, unique=True)
    colours = st.lists(COLOUR, min_size=count, max_size=count, unique=True)
    return draw(unique), draw(ids), draw(colours)


def hexed(colour):
    return "#" + bytes(colour).hex()


def rgb(colour, between=" "):
    return between.join(map(str, colour))


FORMS = {  # form -> (line of a class, header, ids, colours)
    "names": (lambda n, i, c: n, "", False, False),
    "id name": (lambda n, i, c: f"{i} {n}", "", True, False),
    "id: name": (lambda n, i, c: f"{i}: {n}", "", True, False),
    "id,name": (lambda n, i, c: f"{i},{n}", "", True, False),
    "name: id": (lambda n, i, c: f"{n}: {i}", "", True, False),
    "name rgb": (lambda n, i, c: f"{n} {rgb(c)}", "", False, True),
    "name,r,g,b": (lambda n, i, c: f"{n},{rgb(c, ',')}", "", False, True),
    "name #hex": (lambda n, i, c: f"{n} {hexed(c)}", "", False, True),
    "rgb name": (lambda n, i, c: f"{rgb(c)}\t{n}", "", False, True),
    "id name rgb": (lambda n, i, c: f"{i} {n} {rgb(c)}", "", True, True),
    "id name #hex": (lambda n, i, c: f"{i}\t{n}\t{hexed(c)}", "", True, True),
    "csv": (lambda n, i, c: f'"{n}",{rgb(c, ",")}', "name,r,g,b", False, True),
    "csv, ids": (lambda n, i, c: f'{hexed(c)};{i};"{n}"', "color;id;name", True, True),
    "tsv": (lambda n, i, c: f"{c[2]}\t{n}\t{c[0]}\t{c[1]}", "blue\tlabel\tred\tgreen", False, True),
    "CVAT": (
        lambda n, i, c: f"{n}:{rgb(c, ',')}::",
        "# label:color_rgb:parts:actions",
        False,
        True,
    ),
    "quoted": (lambda n, i, c: f'{i} "{n}"', "", True, False),
}
QUOTED = {"csv", "csv, ids", "quoted"}


def agrees(found, names, ids, colours, with_ids, with_colours):
    assert found.labels.names == tuple(" ".join(name.split()) for name in names)
    expected = ids if with_ids else range(len(names))
    assert found.labels.raw_to_train == {raw: k for k, raw in enumerate(expected)}
    spare = voc_palette(len(names))
    assert found.labels.palette == (tuple(colours) if with_colours else spare)
    table = dict(zip(colours, range(len(names)), strict=True))
    assert found.colours == (table if with_colours and not with_ids else None)


def reads_back(folder, data):
    form = data.draw(st.sampled_from(sorted(FORMS)))
    line, header, with_ids, with_colours = FORMS[form]
    names, ids, colours = data.draw(spec(ANY if form in QUOTED else BARE))
    lines = [header] if header else []
    lines += [line(*values) for values in zip(names, ids, colours, strict=True)]
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    path = folder / "any.txt"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    agrees(read_classes(path), names, ids, colours, with_ids, with_colours)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_random_classes_in_every_form_read_back(tmp_path_factory, data):
    reads_back(tmp_path_factory.getbasetemp(), data)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(data=st.data())
def test_many_random_classes_in_every_form_read_back(tmp_path_factory, data):
    reads_back(tmp_path_factory.getbasetemp(), data)


@settings(max_examples=10, deadline=None)
@given(values=spec(ANY), indent=st.sampled_from([None, 1]))
def test_every_json_form_reads_back(tmp_path_factory, values, indent):
    names, ids, colours = values
    members = [
        {"name": n, "id": i, "color": list(c)} for n, i, c in zip(names, ids, colours, strict=True)
    ]
    path = tmp_path_factory.getbasetemp() / "any.json"
    by_name = {"supercategory": "none"}
    for value, with_ids, with_colours in (
        (names, False, False),
        (members, True, True),
        ({"categories": [member | by_name for member in members]}, True, True),
        ({str(i): n for i, n in zip(ids, names, strict=True)}, True, False),
    ):
        path.write_text(json.dumps(value, indent=indent))
        agrees(read_classes(path), names, ids, colours, with_ids, with_colours)


DAMAGE = {  # of a line; the form that it is done to
    "a second name": ("id,name", lambda line: f"{line},other"),
    "a number behind": ("id name", lambda line: f"{line} 7"),
    "a cut colour": ("name #hex", lambda line: line[:-1]),
    "a channel less": ("name rgb", lambda line: line.rpartition(" ")[0]),
    "a channel more": ("name,r,g,b", lambda line: f"{line},9"),
    "a large channel": ("name rgb", lambda line: f"{line}999"),
    "a lost id": ("id name", lambda line: line.partition(" ")[2]),
    "a lost colour": ("name rgb", lambda line: line.rsplit(" ", 3)[0]),
    "a glued colour": ("name #hex", lambda line: line.replace(" #", "#")),
    "an open quote": ("quoted", lambda line: line[:-1]),
    "a column less": ("csv", lambda line: line.rpartition(",")[0]),
    "a column more": ("csv", lambda line: f"{line},1"),
    "a negative id": ("id name", lambda line: f"-{line}"),
    "twice": ("id name", None),
}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_damaged_line_is_refused_with_its_number(tmp_path_factory, data):
    damage = data.draw(st.sampled_from(sorted(DAMAGE)))
    form, wrong = DAMAGE[damage]
    line, header, *_ = FORMS[form]
    names, ids, colours = data.draw(spec().filter(lambda values: len(values[0]) > 1))
    lines = [header] if header else []
    lines += [line(*values) for values in zip(names, ids, colours, strict=True)]
    at = len(lines) - 1
    lines[at] = wrong(lines[at]) if wrong else lines[at - 1]
    path = tmp_path_factory.getbasetemp() / "damaged.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="damaged") as error:
        read_classes(path)
    assert f"{path} line {at + 1}: " in str(error.value)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)),
    st.sampled_from([".txt", ".json", ".yaml"]),
)
def test_no_bytes_end_in_another_error(tmp_path_factory, data, suffix):
    path = tmp_path_factory.getbasetemp() / f"bytes{suffix}"
    path.write_bytes(data)
    message = ""
    try:
        assert np.all(np.asarray(read_classes(path).labels.palette) < 256)
    except ValueError as error:
        message = str(error)
    assert not message or str(path) in message


@pytest.mark.parametrize("name", ["classes.txt", "labelmap.txt", "c.csv", "c.json", "c.yaml"])
def test_a_number_without_end_is_refused_with_its_line(tmp_path, name):
    digits = "9" * 5000
    text = {
        "classes.txt": f"road\n{digits} car\n",
        "labelmap.txt": f"# label:color_rgb:parts:actions\nroad:{digits},0,0::\n",
        "c.csv": f"name,id\nroad,{digits}\n",
        "c.json": f'[\n{{"name": "road", "id": {digits}}}]',
        "c.yaml": f"names:\n  {digits}: road\n",
    }[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{name} line 2: a number of 5000 digits"):
        read_classes(tmp_path / name)
