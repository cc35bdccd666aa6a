"""The .pth reader, on files whose pickles are written here by hand, opcode by opcode."""

import contextlib
import io
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxseg.weights import torch_file


def _name(module, name):
    return f"c{module}\n{name}\n".encode()


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(value):
    return b"J" + struct.pack("<i", value)


def _tuple(*items):
    return b"(" + b"".join(items) + b"t"


def _dict(items):
    return b"}(" + b"".join(_text(key) + value for key, value in items.items()) + b"u"


def _tensor(kind, key, count, offset, shape, strides):
    pid = _tuple(_text("storage"), _name("torch", kind), _text(key), _text("cpu"), _number(count))
    hooks = _name("collections", "OrderedDict") + b")R"
    arguments = _tuple(
        pid + b"Q",
        _number(offset),
        _tuple(*map(_number, shape)),
        _tuple(*map(_number, strides)),
        b"\x89",
        hooks,
    )
    return _name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def _write(path, body, storages, order=b"little", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/byteorder", order)
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes(), compression)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("FloatStorage", "<f4"),
        ("HalfStorage", "<f2"),
        ("DoubleStorage", "<f8"),
        ("BFloat16Storage", ml_dtypes.bfloat16),
        ("LongStorage", "<i8"),
        ("BoolStorage", "?"),
    ],
)
def test_values_of_every_type(path, kind, dtype):
    values = np.asarray([[0, 1, 2], [3, 250, 1]]).astype(dtype)
    _write(path, _dict({"w": _tensor(kind, "0", 6, 0, (2, 3), (3, 1))}), {"0": values})
    read = torch_file.read(path)
    assert list(read) == ["w"]
    assert read["w"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read["w"], values)


def test_offset_and_strides_are_honoured_and_storages_shared(path):
    stored = np.arange(24, dtype="<f4")
    body = _dict(
        {
            "transposed": _tensor("FloatStorage", "0", 24, 0, (4, 6), (1, 4)),
            "slice": _tensor("FloatStorage", "0", 24, 5, (2, 3), (6, 2)),
            "expanded": _tensor("FloatStorage", "0", 24, 7, (5,), (0,)),
            "scalar": _tensor("FloatStorage", "0", 24, 23, (), ()),
            "empty": _tensor("FloatStorage", "0", 24, 0, (0, 3), (3, 1)),
        }
    )
    read = torch_file.read(_write(path, body, {"0": stored}))
    np.testing.assert_array_equal(read["transposed"], stored.reshape(6, 4).T)
    np.testing.assert_array_equal(read["slice"], [[5, 7, 9], [11, 13, 15]])
    np.testing.assert_array_equal(read["expanded"], [7] * 5)
    assert read["scalar"] == 23
    assert read["empty"].shape == (0, 3)
    assert np.shares_memory(read["transposed"], read["slice"])
    with pytest.raises(ValueError, match="read-only"):
        read["slice"][0, 0] = 1


def test_big_endian_files_are_swapped(path):
    stored = np.arange(3, dtype=">f4")
    body = _dict({"w": _tensor("FloatStorage", "0", 3, 0, (3,), (1,))})
    read = torch_file.read(_write(path, body, {"0": stored}, order=b"big"))
    np.testing.assert_array_equal(read["w"], [0, 1, 2])


def test_the_state_dict_is_found_one_level_down_when_there_is_one(path):
    tensor = _tensor("FloatStorage", "0", 2, 0, (2,), (1,))
    one = _dict({"epoch": _number(3), "model": _dict({"w": tensor})})
    assert list(torch_file.read(_write(path, one, {"0": np.ones(2, "<f4")}))) == ["w"]
    two = _dict({"model": _dict({"w": tensor}), "ema": _dict({"v": tensor})})
    _write(path, two, {"0": np.ones(2, "<f4")})
    with pytest.raises(ValueError, match=r"unclear \(model, ema\): give inside="):
        torch_file.read(path)
    assert list(torch_file.read(path, inside="ema")) == ["v"]
    with pytest.raises(ValueError, match="no dictionary 'best'; it has model, ema"):
        torch_file.read(path, inside="best")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_code_is_refused_by_name_and_never_runs(path, protocol, tmp_path):
    trace = tmp_path / "ran"
    call = _name("posix", "system") + _tuple(_text(f"touch {trace}")) + b"R0"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", call + pickle.dumps({"w": 1}, protocol))
    with pytest.raises(ValueError, match=r"model\.pth: it asks for posix\.system"):
        torch_file.read(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch", "load"),
        ("collections", "OrderedDict.__reduce__"),
        ("jaxseg.weights.torch_file", "read"),
    ],
)
def test_any_other_class_is_refused_with_its_name(path, module, name):
    _write(path, _dict({"w": _name(module, name)}), {})
    with pytest.raises(ValueError, match=f"asks for {module}.{name}".replace(".", r"\.")):
        torch_file.read(path)


def test_the_admitted_names_cannot_be_changed_by_a_file(path):
    state = _dict({"__call__": _number(1), "x": _number(2)})
    rebuild = _name("torch._utils", "_rebuild_tensor_v2")
    _write(path, _dict({"w": rebuild + b"N" + state + b"\x86b"}), {})  # BUILD with (None, slots)
    with pytest.raises(ValueError, match="pickle cannot be read: AttributeError"):
        torch_file.read(path)
    good = _dict({"w": _tensor("FloatStorage", "0", 2, 0, (2,), (1,))})
    read = torch_file.read(_write(path, good, {"0": np.ones(2, "<f4")}))
    np.testing.assert_array_equal(read["w"], [1, 1])


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (("FloatStorage", "0", 4, 0, (2, 3), (3, 1)), "past the end"),
        (("FloatStorage", "0", 4, 2, (2,), (2,)), "past the end"),
        (("FloatStorage", "0", 4, 0, (2,), (-1,)), "strides"),
        (("FloatStorage", "0", 4, 0, (2,), (1, 1)), "strides"),
        (("FloatStorage", "0", 5, 0, (2,), (1,)), "holds 16 bytes"),
        (("FloatStorage", "9", 4, 0, (2,), (1,)), "data/9"),
    ],
)
def test_a_tensor_cannot_reach_outside_its_storage(path, tensor, reason):
    _write(path, _dict({"w": _tensor(*tensor)}), {"0": np.ones(4, "<f4")})
    with pytest.raises(ValueError, match=reason):
        torch_file.read(path)


def test_truncated_damaged_and_other_files_are_told_apart(path):
    body = _dict({"w": _tensor("FloatStorage", "0", 64, 0, (64,), (1,))})
    _write(path, body, {"0": np.full(64, 1.5, "<f4")})
    whole = path.read_bytes()
    cases = {
        "truncated": whole[: len(whole) // 2],
        "damaged": whole.replace(np.full(4, 1.5, "<f4").tobytes(), b"\0" * 16, 1),
        "before 1.6": pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        "no file of torch.save": b"hello, this is text",
        "holds no data.pkl": _empty_zip(),
    }
    for reason, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason) as error:
            torch_file.read(path)
        assert str(path) in str(error.value)
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"model\.pth"):
            torch_file.read(path)


def _empty_zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme", "x")
    return stream.getvalue()


def test_a_compressed_storage_is_refused(path):
    body = _dict({"w": _tensor("FloatStorage", "0", 64, 0, (64,), (1,))})
    _write(path, body, {"0": np.zeros(64, "<f4")}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        torch_file.read(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError, match=r"model\.pth"):
        torch_file.read(path)


def test_a_flipped_byte_is_noticed_or_harmless(path):
    stored = np.random.default_rng(0).normal(size=6).astype("<f4")
    body = _dict({"w": _tensor("FloatStorage", "0", 6, 0, (2, 3), (3, 1))})
    whole = _write(path, body, {"0": stored}).read_bytes()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        path.write_bytes(damaged)
        read = None
        with contextlib.suppress(ValueError):
            read = torch_file.read(path)
        if read is not None:
            np.testing.assert_array_equal(read["w"], stored.reshape(2, 3))
