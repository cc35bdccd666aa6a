"""The .pth reader on what torch itself writes."""

import numpy as np
import pytest

from jaxseg.weights.readers import torch_file

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.other_libraries


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool"]
)
def test_every_type_comes_back_bit_for_bit(tmp_path, dtype):
    values = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype))
    torch.save({"w": values}, tmp_path / "a.pth")
    read = torch_file.read(tmp_path / "a.pth")["w"]
    assert str(read.dtype) == dtype
    np.testing.assert_array_equal(read.astype("f8"), values.to(torch.float64).numpy())


def test_views_parameters_and_shared_storages(tmp_path):
    whole = torch.randn(6, 8, 3)
    saved = {
        "transposed": whole.permute(2, 0, 1),
        "slice": whole[1::2, 3:7:2],
        "parameter": torch.nn.Parameter(whole[0]),
        "expanded": whole[0, :1].expand(5, 3),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    torch.save(saved, tmp_path / "a.pth")
    read = torch_file.read(tmp_path / "a.pth")
    assert list(read) == list(saved)
    for name, tensor in saved.items():
        np.testing.assert_array_equal(read[name], tensor.detach().numpy(), err_msg=name)


def test_a_network_and_a_training_checkpoint(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1)
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = network.state_dict()  # an OrderedDict with _metadata
    torch.save(state, tmp_path / "state.pth")
    checkpoint = {"model": state, "optimizer": optimizer.state_dict(), "epoch": 3, "note": "x"}
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    for name in ("state.pth", "checkpoint.pth"):
        read = torch_file.read(tmp_path / name)
        assert set(read) == set(state)
        for key, tensor in state.items():
            np.testing.assert_array_equal(read[key], tensor.numpy())


def test_a_pickled_network_and_the_old_format_are_refused(tmp_path):
    network = torch.nn.Conv2d(1, 1, 1)
    torch.save(network, tmp_path / "network.pth")
    with pytest.raises(ValueError, match=r"network\.pth: it uses torch\.nn\.modules\.conv"):
        torch_file.read(tmp_path / "network.pth")
    old = tmp_path / "old.pth"
    torch.save(network.state_dict(), old, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"old\.pth: .* before 1\.6.* torch\.save"):
        torch_file.read(old)
