"""The .pth reader, on files whose pickles are written here by hand, opcode by opcode."""

import contextlib
import io
import logging
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxseg.weights.readers import torch_file
from tests.weights import pickles


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
    pickles.write(
        path, pickles.dict_({"w": pickles.tensor(kind, "0", 6, 0, (2, 3), (3, 1))}), {"0": values}
    )
    read = torch_file.read(path)
    assert list(read) == ["w"]
    assert read["w"].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read["w"], values)


def test_offset_and_strides_are_honoured_and_storages_shared(path):
    stored = np.arange(24, dtype="<f4")
    body = pickles.dict_(
        {
            "transposed": pickles.tensor("FloatStorage", "0", 24, 0, (4, 6), (1, 4)),
            "slice": pickles.tensor("FloatStorage", "0", 24, 5, (2, 3), (6, 2)),
            "expanded": pickles.tensor("FloatStorage", "0", 24, 7, (5,), (0,)),
            "scalar": pickles.tensor("FloatStorage", "0", 24, 23, (), ()),
            "empty": pickles.tensor("FloatStorage", "0", 24, 0, (0, 3), (3, 1)),
        }
    )
    read = torch_file.read(pickles.write(path, body, {"0": stored}))
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
    body = pickles.dict_({"w": pickles.tensor("FloatStorage", "0", 3, 0, (3,), (1,))})
    read = torch_file.read(pickles.write(path, body, {"0": stored}, order=b"big"))
    np.testing.assert_array_equal(read["w"], [0, 1, 2])


def test_the_state_dict_is_found_one_level_down_when_there_is_one(path):
    tensor = pickles.tensor("FloatStorage", "0", 2, 0, (2,), (1,))
    one = pickles.dict_({"epoch": pickles.number(3), "model": pickles.dict_({"w": tensor})})
    assert list(torch_file.read(pickles.write(path, one, {"0": np.ones(2, "<f4")}))) == ["w"]
    two = pickles.dict_(
        {"model": pickles.dict_({"w": tensor}), "ema": pickles.dict_({"v": tensor})}
    )
    pickles.write(path, two, {"0": np.ones(2, "<f4")})
    with pytest.raises(ValueError, match=r"unclear \(model, ema\): give inside="):
        torch_file.read(path)
    assert list(torch_file.read(path, inside="ema")) == ["v"]
    with pytest.raises(ValueError, match="no dictionary 'best'; it has model, ema"):
        torch_file.read(path, inside="best")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_code_is_refused_by_name_and_never_runs(path, protocol, tmp_path):
    trace = tmp_path / "ran"
    call = (
        pickles.global_("posix", "system") + pickles.tuple_(pickles.text(f"touch {trace}")) + b"R0"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", call + pickle.dumps({"w": 1}, protocol))
    with pytest.raises(ValueError, match=r"model\.pth: it uses posix\.system"):
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
        ("jaxseg.weights.readers.torch_file", "read"),
    ],
)
def test_any_other_class_is_refused_with_its_name(path, module, name):
    pickles.write(path, pickles.dict_({"w": pickles.global_(module, name)}), {})
    with pytest.raises(ValueError, match=f"uses {module}.{name}".replace(".", r"\.")):
        torch_file.read(path)


def test_the_admitted_names_cannot_be_changed_by_a_file(path):
    state = pickles.dict_({"__call__": pickles.number(1), "x": pickles.number(2)})
    rebuild = pickles.global_("torch._utils", "_rebuild_tensor_v2")
    pickles.write(
        path, pickles.dict_({"w": rebuild + b"N" + state + b"\x86b"}), {}
    )  # BUILD with (None, slots)
    with pytest.raises(ValueError, match=r"changes the state of torch\._utils\._rebuild_tensor_v2"):
        torch_file.read(path)
    good = pickles.dict_({"w": pickles.tensor("FloatStorage", "0", 2, 0, (2,), (1,))})
    read = torch_file.read(pickles.write(path, good, {"0": np.ones(2, "<f4")}))
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
    pickles.write(path, pickles.dict_({"w": pickles.tensor(*tensor)}), {"0": np.ones(4, "<f4")})
    with pytest.raises(ValueError, match=reason):
        torch_file.read(path)


def test_truncated_damaged_and_other_files_are_told_apart(path):
    body = pickles.dict_({"w": pickles.tensor("FloatStorage", "0", 64, 0, (64,), (1,))})
    pickles.write(path, body, {"0": np.full(64, 1.5, "<f4")})
    whole = path.read_bytes()
    cases = {
        "truncated": whole[: len(whole) // 2],
        "damaged": whole.replace(np.full(4, 1.5, "<f4").tobytes(), b"\0" * 16, 1),
        "before 1.6": pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        "not a file of torch.save": b"hello, this is text",
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


def test_objects_beside_the_tensors_are_left_out_with_a_warning(path, caplog, tmp_path):
    """As Lightning and mmengine save them: settings, numpy scalars, histories."""
    tensor = pickles.tensor("FloatStorage", "0", 2, 0, (2,), (1,))
    call = (
        pickles.global_("posix", "system")
        + pickles.tuple_(pickles.text(f"touch {tmp_path / 'ran'}"))
        + b"R"
    )
    scalar = (
        pickles.global_("numpy.core.multiarray", "scalar")
        + pickles.tuple_(pickles.global_("numpy", "dtype"), b"N")
        + b"R"
    )
    settings = (
        pickles.global_("argparse", "Namespace") + b")\x81" + pickles.dict_({"seed": call}) + b"b"
    )
    body = pickles.dict_(
        {"hparams": settings, "loss": scalar, "state_dict": pickles.dict_({"w": tensor, "c": call})}
    )
    with caplog.at_level(logging.WARNING):
        read = torch_file.read(pickles.write(path, body, {"0": np.ones(2, "<f4")}))
    assert list(read) == ["w"]
    assert "argparse.Namespace, posix.system, numpy.core.multiarray.scalar" in caplog.text
    assert not (tmp_path / "ran").exists()


def test_a_tensor_of_another_kind_is_refused_and_not_left_out(path):
    other = pickles.global_("torch._utils", "_rebuild_sparse_tensor") + pickles.tuple_(b"N") + b"R"
    tensor = pickles.tensor("FloatStorage", "0", 2, 0, (2,), (1,))
    pickles.write(path, pickles.dict_({"w": tensor, "v": other}), {"0": np.ones(2, "<f4")})
    with pytest.raises(ValueError, match=r"v is created by torch\._utils\._rebuild_sparse_tensor"):
        torch_file.read(path)


def test_one_storage_read_as_two_types(path):
    """Each tensor has the type of its own storage reference."""
    body = pickles.dict_(
        {
            "f": pickles.tensor("FloatStorage", "0", 2, 0, (2,), (1,)),
            "i": pickles.tensor("IntStorage", "0", 2, 0, (2,), (1,)),
            "b": pickles.tensor("BoolStorage", "0", 8, 0, (8,), (1,)),
        }
    )
    stored = np.asarray([1, -2], "<f4")
    read = torch_file.read(pickles.write(path, body, {"0": stored}))
    np.testing.assert_array_equal(read["i"], stored.view("<i4"))
    assert read["b"].view("u1").max() == 1


def test_a_compressed_storage_is_refused(path):
    body = pickles.dict_({"w": pickles.tensor("FloatStorage", "0", 64, 0, (64,), (1,))})
    pickles.write(path, body, {"0": np.zeros(64, "<f4")}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        torch_file.read(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError, match=r"model\.pth"):
        torch_file.read(path)


def test_a_flipped_byte_is_noticed_or_harmless(path):
    stored = np.random.default_rng(0).normal(size=6).astype("<f4")
    body = pickles.dict_({"w": pickles.tensor("FloatStorage", "0", 6, 0, (2, 3), (3, 1))})
    whole = pickles.write(path, body, {"0": stored}).read_bytes()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        path.write_bytes(damaged)
        read = None
        with contextlib.suppress(ValueError):
            read = torch_file.read(path)
        if read is not None:
            np.testing.assert_array_equal(read["w"], stored.reshape(2, 3))
