"""Malicious pickles: each ends in one line, or in the part of it that is sound."""

import copy
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from jaxseg.weights.readers import pickle_machine, torch_file
from tests.weights import pickles


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


_W = pickles.tensor("FloatStorage", "0", 2, 0, (2,), (1,))
_HUGE = b"\x8a\x09" + (1 << 64).to_bytes(9, "little")  # LONG1
_HOSTILE = {
    "tuples that double themselves": pickles.dict_({"w": b")" + b"2\x86" * 300, "v": _W}),
    "tuples that double themselves as a key": b"}" + b")" + b"2\x86" * 300 + b"Ns",
    "tuples that double themselves as a tensor": pickles.dict_(
        {"w": pickles.global_("torch._utils", "_rebuild_tensor_v2") + b")" + b"2\x86" * 300 + b"R"}
    ),
    "a deep list": pickles.dict_({"w": b"]" * 50_000 + b"a" * 49_999, "v": _W}),
    "a chain of calls": pickles.dict_(
        {"w": pickles.global_("os", "system") + b")R" * 20_000, "v": _W}
    ),
    "a list that holds itself": pickles.dict_({"w": b"]q\x00h\x00a", "v": _W}),
    "a table that holds itself": b"}q\x00X\x01\0\0\0wh\x00s",
    "a parameter of itself": pickles.dict_(
        {"w": pickles.global_("torch._utils", "_rebuild_parameter") + b"]q\x00h\x00a\x85R"}
    ),
    "BUILD of a storage": pickles.dict_({"w": pickles.tuple_(b"N") + b"QNb"}),
    "BUILD of a table": b"}Nb",
    "BUILD of a tensor": pickles.dict_(
        {"w": _W + pickles.dict_({"__array_interface__": b"N"}) + b"b"}
    ),
    "INST": pickles.dict_({"w": b"(N" + b"ios\nsystem\n"}),
    "OBJ": pickles.dict_({"w": b"(" + pickles.global_("os", "system") + b"No"}),
    "OBJ of nothing": pickles.dict_({"w": b"(o"}),
    "EXT1": b"\x82\x01",
    "EXT4": b"\x84\x01\0\0\0",
    "out-of-band buffers": b"\x97",
    "a persistent id of text": b"Pstorage\n",
    "an empty stack": b"R",
    "a mark that is not there": b"t",
    "a memo that is not there": b"h\x07",
    "a memo of number -1": b"Np-1\n",
    "a large memo number": b"Nr\xff\xff\xff\xff",
    "odd items": b"}(Nu",
    "a string beyond the end": b"X\xff\xff\xff\x7f",
    "a long string beyond the end": b"\x8d" + b"\xff" * 8,
    "a long negative string": b"T\xff\xff\xff\xff",
    "a huge number": pickles.dict_({"w": b"\x8b\0\0\x01\0" + b"\x7f" * 65536, "v": _W}),
    "a huge decimal": b"L" + b"9" * 100_000 + b"L\n",
    "a shape that is not whole": pickles.dict_(
        {"w": _W.replace(pickles.number(2) + b"t", b"\x88t", 1)}
    ),
    "a count of 2 to the 64": pickles.dict_({"w": _W.replace(pickles.number(2), _HUGE)}),
    "a shape that unfolds": pickles.dict_(
        {"w": pickles.tensor("FloatStorage", "0", 2, 0, (2**30, 2**30, 2**30), (0, 0, 0))}
    ),
    "an empty shape of huge sides": pickles.dict_(
        {"w": pickles.tensor("FloatStorage", "0", 2, 0, (0,) + (2**31 - 1,) * 9, (1,) * 10)}
    ),
    "a hundred dimensions": pickles.dict_(
        {"w": pickles.tensor("FloatStorage", "0", 2, 0, (1,) * 100, (1,) * 100)}
    ),
    "a key with a line break": b"}X\x02\0\0\0a\nNs",
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_pickle_is_read_or_refused_in_a_line_at_once(path, name):
    """It ends in the one good tensor or in a refusal, within a second or so and little memory."""
    pickles.write(path, _HOSTILE[name], {"0": np.asarray([1, 2], "<f4")})
    tracemalloc.start()
    try:
        read = torch_file.read(path)
        said = ""
        assert {k: v.tolist() for k, v in read.items()} in ({"v": [1, 2]}, {"w": [1, 2]})
    except ValueError as error:
        said = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not said or said.startswith(f"{path}: ")
    assert "\n" not in said
    assert len(said) < len(str(path)) + 400
    assert peak < 100 << 20


def test_an_archive_whose_parts_overlap_or_have_one_name_is_refused(path):
    body = pickles.dict_(
        {k: pickles.tensor("FloatStorage", k, 512, 0, (512,), (1,)) for k in "0123456789"}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/data/0", bytes(2048))
        first = archive.infolist()[-1]
        for key in "123456789":
            other = copy.copy(first)
            other.filename = other.orig_filename = f"archive/data/{key}"
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
    with pytest.raises(ValueError, match=r"model\.pth: "):
        torch_file.read(path)
    pickles.write(path, pickles.dict_({"w": _W}), {"0": np.ones(2, "<f4")})
    with zipfile.ZipFile(path, "a") as archive:
        archive.NameToInfo.clear()  # so that it takes a second part of that name
        archive.writestr("archive/data/0", bytes(8))
    with pytest.raises(ValueError, match="same name"):
        torch_file.read(path)


def test_a_pickle_of_more_opcodes_than_any_checkpoint_has(path, monkeypatch):
    monkeypatch.setattr(pickle_machine, "_MOST_OPCODES", 1000)
    pickles.write(path, b"N0" * 1000 + b"N", {})
    with pytest.raises(ValueError, match=r"more than 1,000 opcodes"):
        torch_file.read(path)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_python_is_described(protocol):
    """Of plain values, one for one."""
    given = {
        "a": [1, -2, 3.5, None, True, "ä\n", b"b", 1 << 70],
        "b": (1, (2,), ()),
        "c": {"d": []},
    }
    tree, names = pickle_machine.describe(pickle.dumps(given, protocol))
    if protocol < 3:  # where bytes are a call
        tree.pairs[0][1][6] = b"b"
    assert [n.name for n in names] == (["encode"] if protocol < 3 else [])
    (_, a), (_, b), (_, c) = tree.pairs
    assert (a, b, c.pairs) == (given["a"], given["b"], [("d", [])])
