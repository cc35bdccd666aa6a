"""Weight files that declare more than they hold, or point elsewhere: one line, and no memory."""

import json
import struct
import tracemalloc
import types

import h5py
import numpy as np
import pytest
import safetensors.numpy

from jaxseg.weights.readers import (
    caffemodel_file,
    h5_file,
    safetensors_file,
    sizes,
    tf_checkpoint_file,
    tflite_file,
)
from jaxseg.workdir import npz_file, per_image
from tests.weights import tf_bundle


@pytest.fixture
def refused():
    """Calls a reader: it raises one line that names the file, within 100 MiB."""

    def check(read, path, says):
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=says) as error:
                read(path)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < len(str(path)) + 600
        assert peak < 100 << 20

    return check


def _h5(path, make):
    with h5py.File(path, "w") as file:
        file["before"] = np.ones(3, "<f4")
        make(file)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: f.create_dataset("w", (1 << 50,), "<f4", chunks=(1024,)), "w expands to"),
        (lambda f: f.create_dataset("w", (1 << 31, 1 << 31), "<f4", chunks=(8, 8)), "w expands to"),
        (
            lambda f: f.create_dataset(
                "w", data=np.zeros(1 << 25, "<f4"), compression=9, chunks=(1 << 24,)
            ),
            "w expands to 134,217,728 bytes",
        ),
        (
            lambda f: f.create_dataset("w", data=np.zeros(64, "<f4"), compression="lzf"),
            "HDF5's filter 32000; only gzip, shuffle, fletcher32",
        ),
        (
            lambda f: f.create_virtual_dataset("w", _layout(f), fillvalue=0),
            "w points into another file",
        ),
        (lambda f: f.create_group("/".join("g" * 70)), "nested more than 64 deep"),
        (lambda f: f.create_dataset("x\ny", (1 << 50,), "<f4", chunks=(8,)), "x y expands to"),
    ],
)
def test_h5(tmp_path, refused, make, says):
    refused(h5_file.read, _h5(tmp_path / "a.h5", make), says)


def _layout(file):
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "w", (4,))
    return layout


def test_h5_links_are_not_followed_and_what_is_no_number_is_left_out(tmp_path):
    _h5(tmp_path / "other.h5", lambda file: None)

    def make(file):
        file["external"] = h5py.ExternalLink("other.h5", "/before")
        file["soft"] = h5py.SoftLink("/before")
        file["group/itself"] = file["/"]
        file["complex"] = np.ones(2, "<c8")
        file["empty"] = h5py.Empty("<f4")
        file.create_dataset("text", (2,), h5py.string_dtype())

    assert list(h5_file.read(_h5(tmp_path / "a.h5", make))) == ["before"]


def test_a_flipped_byte_of_an_h5_file_ends_in_arrays_or_a_line(tmp_path):
    path = _h5(tmp_path / "a.h5", lambda f: f.create_dataset("g/w", data=np.ones(8), chunks=(4,)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            said = f"{path}: " if h5_file.read(path) is not None else ""
        except ValueError as error:
            said = str(error)
        assert said.startswith(f"{path}: ")
        assert "\n" not in said


def _safetensors(path, header, content=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


@pytest.mark.parametrize(
    ("tensor", "content"),
    [
        ({"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}, b""),
        ({"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}, bytes(8)),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, bytes(4)),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, bytes(4)),
        ({"dtype": "F4\n", "shape": [1], "data_offsets": [0, 4]}, bytes(4)),
        ({"dtype": "F8_E8M0", "shape": [1], "data_offsets": [0, 1]}, bytes(1)),
        ({"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}, bytes(1)),
        ({"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}, b""),
        ({"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]}, bytes(4)),
    ],
)
def test_safetensors(tmp_path, refused, tensor, content):
    path = _safetensors(tmp_path / "a.safetensors", {"w": tensor}, content)
    refused(safetensors_file.read, path, "not a readable safetensors file")


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_safetensors_header_beyond_the_end(tmp_path, refused, size):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", size) + b"{}      ")
    refused(safetensors_file.read, path, "not a readable safetensors file")


def test_a_tf_checkpoint_of_countless_shards(tmp_path, refused):
    prefix = tmp_path / "model.ckpt"
    tf_bundle.write(prefix, {"w": np.ones(3, "<f4")}, header=tf_bundle.field(1, 1 << 40))
    refused(tf_checkpoint_file.read, prefix, "says that there are 1,099,511,627,776 shards")


def _tf(prefix, entries):
    """A checkpoint of one shard of 1 MiB of zeros, with entries as they are given."""
    content = bytes(1 << 20)
    tf_bundle.write(prefix, {})
    prefix.with_name("model.ckpt.data-00000-of-00001").write_bytes(content)
    pairs = [(b"", tf_bundle.field(1, 1)), *entries(tf_bundle.masked(content))]
    prefix.with_name("model.ckpt.index").write_bytes(tf_bundle.table(pairs))


@pytest.mark.parametrize(
    ("shape", "size", "says"),
    [
        ((0, (1 << 64) - 1), 0, "model.ckpt.data-00000-of-00001: "),
        (((1 << 64) - 1, 4), 1 << 20, "w has 1048576 bytes"),
        ((1 << 40,), 1 << 42, "expands to"),
        ((1,) * 40, 4, "w has more than 32 dimensions"),
    ],
)
def test_a_tf_variable_of_another_size_than_its_bytes(tmp_path, refused, shape, size, says):
    prefix = tmp_path / "model.ckpt"
    checksum = tf_bundle.masked(b"")
    _tf(prefix, lambda _: [(b"w", tf_bundle.entry(1, shape, 0, 0, size, checksum))])
    refused(tf_checkpoint_file.read, prefix, says)


def test_tf_variables_that_share_the_same_bytes(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(sizes, "_SLACK", 1 << 20)
    prefix = tmp_path / "model.ckpt"
    _tf(
        prefix,
        lambda checksum: [
            (b"w%04d" % i, tf_bundle.entry(1, (1 << 18,), 0, 0, 1 << 20, checksum))
            for i in range(200)
        ],
    )
    refused(tf_checkpoint_file.read, prefix, "expands to")


def test_a_tf_variable_with_a_name_of_a_megabyte(tmp_path, refused):
    prefix = tmp_path / "model.ckpt"
    _tf(prefix, lambda _: [(b"w" * 1_000_000, tf_bundle.entry(1, (0,), 0, 0, 0, 0))])
    refused(tf_checkpoint_file.read, prefix, "a name in its index has 1000000 bytes")


def test_what_a_file_may_unfold_to(tmp_path):
    (tmp_path / "a").write_bytes(bytes(1 << 20))
    budget = sizes.Budget(tmp_path / "a")
    budget.take(64 << 20, "w")
    budget.take(16 << 20, "v")
    with pytest.raises(ValueError, match="u expands to 1 bytes, far more than this file of 1,048"):
        budget.take(1, "u")


def test_a_caffe_blob_whose_shape_overflows(tmp_path, refused):
    net = caffemodel_file.NetParameter()
    layer = net.layer.add(name="conv\n1")
    layer.blobs.add(data=[b"\0\0\0\0"]).shape.dim.extend([1 << 32, 1 << 32])
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net.SerializeToString())
    refused(caffemodel_file.read, path, r"conv 1/0 of shape \(4294967296, 4294967296\) has 4 bytes")
    layer.blobs[0].shape.dim.extend([1] * 1_000_000)
    path.write_bytes(net.SerializeToString())
    refused(caffemodel_file.read, path, "conv 1/0 has more than 32 dimensions")


def test_tflite_tensors_that_share_one_large_buffer(tmp_path, monkeypatch):
    """Each is a copy of it, so that a small file could fill the memory."""
    content = np.ones(1 << 20, "<f4")
    buffer = types.SimpleNamespace(
        DataLength=lambda: content.nbytes, DataAsNumpy=lambda: content.view("u1")
    )
    tensors = [
        types.SimpleNamespace(
            Buffer=lambda: 0,
            Type=lambda: 0,
            Name=lambda i=i: b"w%d" % i,
            ShapeAsNumpy=lambda: np.asarray(content.shape),
        )
        for i in range(100)
    ]
    graph = types.SimpleNamespace(TensorsLength=lambda: 100, Tensors=tensors.__getitem__)
    model = types.SimpleNamespace(
        SubgraphsLength=lambda: 1, Subgraphs=lambda _: graph, Buffers=lambda _: buffer
    )
    kinds = types.SimpleNamespace(FLOAT32=0, FLOAT16=1, INT32=2, INT64=4)
    (tmp_path / "a").write_bytes(content.tobytes())
    with pytest.raises(ValueError, match="expands to"):
        tflite_file._float_constants(model, kinds, sizes.Budget(tmp_path / "a"))


def test_an_npz_that_unfolds_to_more_than_counts_take(tmp_path, refused, monkeypatch):
    path = tmp_path / "val.npz"
    monkeypatch.setattr(npz_file, "_SLACK", 1 << 20)
    np.savez_compressed(path, names=np.zeros(0, str), num_classes=2, count=np.zeros(1 << 20))
    refused(per_image.read, path, r"it expands to 8,\d+,\d+ bytes, but its size is 8,")


def test_safetensors_of_every_type_that_numpy_has_still_load(tmp_path):
    arrays = {kind: np.ones(3, kind) for kind in ("f2", "f4", "f8", "i1", "u1", "i8", "?")}
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors")
    read = safetensors_file.read(tmp_path / "a.safetensors")
    assert {k: v.dtype for k, v in read.items()} == {k: v.dtype for k, v in arrays.items()}
