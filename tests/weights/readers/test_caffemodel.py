"""The .caffemodel reader: names, layouts of both generations of files, and what it refuses."""

import numpy as np
import pytest

from jaxseg.weights import load
from jaxseg.weights.readers import caffemodel_file
from tests.weights import caffemodel

LAYERS = {
    "conv1_1": [
        np.arange(24).reshape(4, 3, 2, 1).astype(np.float32),
        np.float32([0.5, -1, 2, 1e-3]),
    ],
    "pool1": [],
    "scale": [np.float32(0.01)],
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.caffemodel"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("double", [False, True])
def test_blobs_by_layer_and_number(path, version, double):
    caffemodel.write(path, LAYERS, version=version, double=double)
    read = caffemodel_file.read(path)
    assert list(read) == ["conv1_1/0", "conv1_1/1", "scale/0"]
    for name, wanted in (("conv1_1/0", LAYERS["conv1_1"][0]), ("scale/0", LAYERS["scale"][0])):
        assert read[name].shape == wanted.shape
        assert read[name].dtype == (np.float64 if double else np.float32)
        np.testing.assert_array_equal(read[name], wanted)
    np.testing.assert_array_equal(load.read(path)["conv1_1/1"], LAYERS["conv1_1"][1])


def test_the_bytes_are_those_of_protocol_buffers(path):
    """Field by field by hand: the name is 1, a layer 100, its name 1, blobs 7, data 5, shape 7."""
    blob = b"\x2a\x08" + np.float32([1, -2]).tobytes() + b"\x3a\x03\x0a\x01\x02"
    layer = b"\x0a\x02ip" + b"\x12\x0cInnerProduct" + b"\x3a" + bytes([len(blob)]) + blob
    path.write_bytes(b"\x0a\x01n" + b"\xa2\x06" + bytes([len(layer)]) + layer)
    read = caffemodel_file.read(path)
    assert list(read) == ["ip/0"]
    np.testing.assert_array_equal(read["ip/0"], [1, -2])


def test_sizes_of_older_files_are_four(path):
    caffemodel.write(path, LAYERS, version=1, legacy=True)
    read = caffemodel_file.read(path)
    assert read["conv1_1/0"].shape == (4, 3, 2, 1)
    assert read["conv1_1/1"].shape == (1, 1, 1, 4)
    np.testing.assert_array_equal(read["conv1_1/1"].ravel(), LAYERS["conv1_1"][1])


@pytest.mark.parametrize("version", [1, 2])
def test_of_shared_blobs_the_first_is_kept(path, version):
    weights, bias = LAYERS["conv1_1"]
    names = {"conv": ["w", ""], "conv_res05": ["w", ""]}
    layers = {"conv": [weights, bias], "conv_res05": [weights, bias + 1]}
    caffemodel.write(path, layers, version=version, shared=names)
    assert list(caffemodel_file.read(path)) == ["conv/0", "conv/1", "conv_res05/1"]
    caffemodel.write(path, layers | {"conv_res05": [weights + 1]}, version=version, shared=names)
    with pytest.raises(ValueError, match=r"conv_res05/0 and conv/0 are shared as w but differ"):
        caffemodel_file.read(path)


def test_values_in_several_pieces_are_joined(path):
    """Protocol Buffers lets a message be split into pieces that a reader merges."""
    net = caffemodel.message({"ip": [np.float32([1, 2, 3])]})
    data = net.layer[0].blobs[0].data
    whole = data.pop()
    data.extend([whole[:4], whole[4:]])
    path.write_bytes(net.SerializeToString())
    np.testing.assert_array_equal(caffemodel_file.read(path)["ip/0"], [1, 2, 3])


@pytest.mark.parametrize("part", [0.001, 0.3, 0.9, 0.999])
def test_truncated_files_are_named(path, part):
    caffemodel.write(path, {"conv": [np.zeros((64, 3, 3, 3), np.float32)]})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match=r"net\.caffemodel: ") as error:
        caffemodel_file.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\n\x03net", b"\xff" * 64])
def test_foreign_files_are_named(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.caffemodel: .*(no|not a) Caffe model"):
        caffemodel_file.read(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"net\.caffemodel"):
        caffemodel_file.read(path)


def test_a_blob_of_another_size_than_its_shape_is_named(path):
    net = caffemodel.message({"ip": [np.zeros((2, 3), np.float32)]})
    net.layer[0].blobs[0].shape.dim[1] = 4
    path.write_bytes(net.SerializeToString())
    with pytest.raises(ValueError, match=r"net\.caffemodel: ip/0 of shape \(2, 4\) has 24 bytes"):
        caffemodel_file.read(path)
    net.layer[0].blobs[0].ClearField("shape")
    path.write_bytes(net.SerializeToString())
    with pytest.raises(ValueError, match=r"ip/0 has no shape"):
        caffemodel_file.read(path)


def test_two_layers_of_one_name_are_refused(path):
    caffemodel.write(path, [("ip", [np.zeros(2)]), ("ip", [np.zeros(2)])])
    with pytest.raises(ValueError, match="two layers are called ip"):
        caffemodel_file.read(path)
