"""Malicious weight files: pickles that run code, files that declare more than they hold."""

import json
import logging
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable

import h5py
import ml_dtypes
import numpy as np

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg.weights import load
from jaxseg.weights.readers import caffemodel_file, h5_file, tf_checkpoint_file
from jaxseg.workdir import per_image

_PICKLES = "tests/weights/readers/test_hostile_pickles.py::"
_HOSTILE = _PICKLES + "test_a_hostile_pickle_is_read_or_refused_in_a_line_at_once"
_TORCH = "tests/weights/readers/test_torch.py::"
_FILES = "tests/weights/readers/test_hostile_files.py::"


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tensor(kind: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A tensor on storage 0, which holds two four-byte numbers."""
    place = b"(" + _text("storage") + f"ctorch\n{kind}\n".encode() + _text("0") + _text("cpu")
    sizes = b"".join(b"(" + b"".join(map(_number, n)) + b"t" for n in (shape, strides))
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + _number(2) + b"tQ" + _number(0)
    return call + sizes + b"\x89ccollections\nOrderedDict\n)RtR"


_W = _tensor("FloatStorage", (2,), (1,))


def _pth(folder: pathlib.Path, **values: bytes) -> pathlib.Path:
    """A file as by torch.save, whose pickle is a dictionary of these values, given as opcodes."""
    body = b"".join(_text(name) + value for name, value in values.items())
    path = folder / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}(" + body + b"u.")
        archive.writestr("archive/data/0", np.asarray([1, -2], "<f4").tobytes())
    return path


def _refused(path: pathlib.Path, *words: str) -> Seen:
    return situation.refusal(lambda: load.read(path), path.name, *words)


def _read(path: pathlib.Path, **expected: list[float]) -> Seen:
    logging.getLogger("jaxseg").setLevel(logging.ERROR)
    read = {name: values.tolist() for name, values in load.read(path).items()}
    return situation.right(read == expected, f"read: {read}")


def _build_of_an_array(folder: pathlib.Path) -> Seen:
    state = (
        b"(" + _number(1) + b"(" + _number(2) + b"tctorch\nFloatStorage\n\x89C\x08other it" + b"t"
    )
    return _refused(_pth(folder, w=_W, v=_W.replace(b"tQ", b"tQ" + state + b"b", 1)), "state")


def _build_of_a_type(folder: pathlib.Path) -> Seen:
    state = b"(" + _number(3) + _text("|") + b"NNN" + _number(-1) + _number(-1) + _number(0) + b"t"
    path = _pth(folder, w=_W, v=b"ctorch\nBFloat16Storage\n" + state + b"b")
    seen = _refused(path, "state")
    same = np.dtype(ml_dtypes.bfloat16).itemsize == 2
    situation.check(same, "the file has changed bfloat16 for the whole process")
    return seen


def _beside(folder: pathlib.Path) -> Seen:
    call = b"cargparse\nNamespace\n)\x81}" + _text("seed") + _number(3) + b"sb"
    return _read(_pth(folder, hparams=call, state_dict=b"}" + _text("w") + _W + b"s"), w=[1, -2])


def _two_types(folder: pathlib.Path) -> Seen:
    bits = np.asarray([1, -2], "<f4").view("<i4").tolist()
    return _read(_pth(folder, w=_W, v=_tensor("IntStorage", (2,), (1,))), w=[1, -2], v=bits)


def _h5(make: Callable[[h5py.File], object]) -> Callable[[pathlib.Path], Seen]:
    def run(folder: pathlib.Path) -> Seen:
        with h5py.File(folder / "model.h5", "w") as file:
            make(file)
        return situation.refusal(lambda: h5_file.read(folder / "model.h5"), "model.h5", "w")

    return run


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "w", (4,))
    file.create_virtual_dataset("w", layout, fillvalue=0)


def _safetensors(size: int, **tensor: object) -> Callable[[pathlib.Path], Seen]:
    def run(folder: pathlib.Path) -> Seen:
        header = json.dumps({"w": tensor}).encode()
        path = folder / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
        return _refused(path)

    return run


def _caffe(folder: pathlib.Path) -> Seen:
    net = caffemodel_file.NetParameter()
    blob = net.layer.add(name="conv\n1").blobs.add(data=[])
    blob.shape.dim.extend([1 << 32, 1 << 32])
    path = folder / "model.caffemodel"
    path.write_bytes(net.SerializeToString())
    return situation.refusal(lambda: caffemodel_file.read(path), path.name, "conv 1/0")


def _not_a_checkpoint(folder: pathlib.Path) -> Seen:
    prefix = folder / "model.ckpt"
    (folder / "model.ckpt.index").write_bytes(bytes(100))
    return situation.refusal(lambda: tf_checkpoint_file.read(prefix), "model.ckpt.index")


def _npz(folder: pathlib.Path) -> Seen:
    path = folder / "val.npz"
    np.savez_compressed(path, names=np.zeros(0, str), num_classes=2, count=np.zeros(40_000_000))
    return situation.refusal(lambda: per_image.read(path), "val.npz", "expands to")


def _pickled_npz(folder: pathlib.Path) -> Seen:
    path = folder / "val.npz"
    np.savez(path, names=np.asarray([pickle.PickleBuffer], object), num_classes=2, image=[0])
    return situation.refusal(lambda: per_image.read(path), "val.npz")


def _j(name: str, before: str, test: str, run: Callable[[pathlib.Path], Seen]) -> Situation:
    return Situation("J", name, before, test, run)


SITUATIONS = (
    _j(
        ".pth: BUILD changes an array",
        "freed memory was read as weights: [-0.0032, 4.6e-41]",
        _HOSTILE,
        _build_of_an_array,
    ),
    _j(
        ".pth: BUILD changes the type bfloat16",
        "bfloat16 had -1 bytes for the whole process, exit 0",
        _HOSTILE,
        _build_of_a_type,
    ),
    _j(
        ".pth: tuples that double themselves 300 times, as a key",
        "did not end within 40 s",
        _HOSTILE,
        lambda folder: _read(_pth(folder, w=_W + b")" + b"2\x86" * 300 + b"N"), w=[1, -2]),
    ),
    _j(
        ".pth: a list 50,000 deep",
        "right",
        _HOSTILE,
        lambda folder: _read(_pth(folder, w=_W, v=b"]" * 50_000 + b"a" * 49_999), w=[1, -2]),
    ),
    _j(
        ".pth: a tensor of two numbers that expands to 2^60",
        "an array of 4 EiB",
        _HOSTILE,
        lambda folder: _refused(
            _pth(folder, w=_tensor("FloatStorage", (2**30,) * 2, (0, 0))), "expands to"
        ),
    ),
    _j(
        ".pth: settings of a trainer beside the weights",
        "refused for argparse.Namespace",
        _TORCH + "test_objects_beside_the_tensors_are_left_out_with_a_warning",
        _beside,
    ),
    _j(
        ".pth: one storage as float32 and as int32",
        "int32 was read as float32, exit 0",
        _TORCH + "test_one_storage_read_as_two_types",
        _two_types,
    ),
    _j(
        ".h5: 2^50 numbers declared",
        "MemoryError",
        _FILES + "test_h5",
        _h5(lambda file: file.create_dataset("w", (1 << 50,), "<f4", chunks=(1024,))),
    ),
    _j(
        ".h5: a filter that HDF5 would load as a plug-in",
        "read, with the plug-in",
        _FILES + "test_h5",
        _h5(lambda file: file.create_dataset("w", data=np.zeros(64), compression="lzf")),
    ),
    _j(".h5: values that lie in another file", "right", _FILES + "test_h5", _h5(_virtual)),
    _j(
        ".safetensors: 2^42 bytes declared",
        "right",
        _FILES + "test_safetensors",
        _safetensors(8, dtype="F32", shape=[1 << 40], data_offsets=[0, 1 << 42]),
    ),
    _j(
        ".safetensors: a type that NumPy does not support",
        "AttributeError",
        _FILES + "test_safetensors",
        _safetensors(8, dtype="F8_E8M0", shape=[8], data_offsets=[0, 8]),
    ),
    _j(
        ".safetensors: an empty array with a side of 2^62",
        "a line without the file",
        _FILES + "test_safetensors",
        _safetensors(0, dtype="F32", shape=[0, 1 << 62], data_offsets=[0, 0]),
    ),
    _j(
        ".caffemodel: a shape whose product overflows to 0",
        "a line without the blob",
        _FILES + "test_a_caffe_blob_whose_shape_overflows",
        _caffe,
    ),
    _j(
        "a TensorFlow index of zeros",
        "right",
        "tests/weights/readers/test_tf_checkpoint.py::test_an_absent_one_and_other_files_of_its_name",
        _not_a_checkpoint,
    ),
    _j(
        "eval/val.npz of 300 kB expands to 320 MB",
        "all of it was decompressed",
        _FILES + "test_an_npz_that_unfolds_to_more_than_counts_take",
        _npz,
    ),
    _j(
        "eval/val.npz with a pickled object",
        "right",
        "tests/test_safety.py::test_a_pickle_in_an_npz_is_not_opened",
        _pickled_npz,
    ),
)
