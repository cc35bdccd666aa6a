"""The benchmark's twins in torch, and the tables that carry contenders' weights over."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import ours, torch_tables, work
from jaxseg.layers.compute import PLAIN
from jaxseg.models.segnet import SegNet
from jaxseg.weights.match import fill, leaves_of
from tests.helpers.variables import shapes_of
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("segnet", 29_455_125), ("pspnet", 46_592_597), ("v3_plus_xception", 41_042_005)],
)
def test_every_tensor_has_its_leaf(smp, model, parameters):
    from experiments.benchmarks import torch_peers

    given = work.Work(model, "train")
    with torch.device("meta"):
        network = torch_peers.network_of(given)
    assert sum(p.numel() for p in network.parameters()) == parameters
    tensors = {
        name: np.broadcast_to(np.float32(0), tensor.shape)
        for name, tensor in network.state_dict().items()
    }
    table = torch_tables.table_of(model, tensors)
    carried = {e.target: e.transform(tensors[e.source]).shape for e in table.entries}
    leaves = dict(leaves_of(shapes_of(ours.model(given))))
    assert carried == {path: leaf.shape for path, leaf in leaves.items()}
    assert len(table.entries) == len(carried)
    waived = {name for name in tensors if name.endswith("num_batches_tracked")}
    assert {e.source for e in table.entries} == set(tensors) - waived


def test_segnet_is_its_twin(torchvision):
    from experiments.benchmarks import torch_twins

    torch.manual_seed(0)
    twin = torch_twins.SegNet(3, (2, 4, 8, 16, 16)).eval()
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    model = SegNet(3, width=2, compute=PLAIN)
    state = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    variables = fill(state, shapes_of(model), torch_tables.table_of("segnet", state))
    x = images((45, 34), batch=2)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    expected = expected.numpy().transpose(0, 2, 3, 1)
    run = jax.jit(lambda v: model.apply(v, x, train=False)["logits"], compiler_options=QUICK)
    assert expected.std() > 0.1
    np.testing.assert_allclose(run(variables), expected, atol=1e-4 * np.abs(expected).max())
