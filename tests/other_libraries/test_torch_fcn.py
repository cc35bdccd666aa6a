"""The dilated FCN beside torchvision's, with random weights carried over by the name table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, losses
from jaxseg.layers.compute import PLAIN, Compute
from jaxseg.models.compat import torchvision_fcn
from jaxseg.weights import load, match
from jaxseg.weights.tables import torchvision as tables_torch
from tests.models.networks import QUICK, images

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


def _peer(torchvision, depth, classes, aux=True):
    """With random statistics and norms, and branches that weigh less than their shortcuts."""
    torch.manual_seed(0)
    build = getattr(torchvision.models.segmentation, f"fcn_resnet{depth}")
    peer = build(weights=None, weights_backbone=None, num_classes=classes, aux_loss=aux)
    with torch.no_grad():
        for module in peer.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0)
                module.bias.uniform_(-0.3, 0.3)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return peer.eval()


def _import(tensors, model, dtype=np.float32):
    """By the table that the names themselves call for."""
    named = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 33, 33, 3)), train=False)
    )
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)
    return match.fill(named, shapes, load.table_of(named))


def _torch(array):
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize(("depth", "aux"), [(50, True), (101, False)])
def test_logits(torchvision, depth, aux):
    peer = _peer(torchvision, depth, 21, aux)
    model = torchvision_fcn(depth, 21, aux).clone(compute=PLAIN)
    variables = _import(peer.state_dict(), model)
    x = images((41, 33))
    run = jax.jit(lambda v: model.apply(v, x, train=False), compiler_options=QUICK)
    outputs = run(variables)
    with torch.inference_mode():
        theirs = peer(_torch(x))
    for ours, name in (("logits", "out"), ("aux_logits", "aux"))[: 1 + aux]:
        expected = theirs[name].numpy().transpose(0, 2, 3, 1)
        scale = np.abs(expected).max()
        assert expected.std() > 1e-2 * scale
        assert np.abs(outputs[ours] - expected).max() < 1e-4 * scale


def test_loss_and_gradients_in_train_mode(torchvision):
    """Batch statistics, void pixels and the auxiliary head included; in float64, to be sure."""
    peer = _peer(torchvision, 50, 5).double().train()
    for module in peer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x = images((33, 24), batch=2).astype(np.float64)
    labels = np.random.default_rng(1).integers(0, 5, x.shape[:3], dtype=np.uint8)
    labels[:, :7] = 255
    state = dict(peer.state_dict())
    targets = torch.from_numpy(labels.astype(np.int64))
    with jax.enable_x64(True):
        model = config.with_fields(
            torchvision_fcn(50, 5),
            {"compute": Compute("float64", "plain"), "dropout": 0.0, "aux_dropout": 0.0},
        )
        variables = _import(state, model, np.float64)
        theirs = peer(_torch(x))
        of_each = {
            name: torch.nn.functional.cross_entropy(logits, targets, ignore_index=255)
            for name, logits in theirs.items()
        }
        loss = of_each["out"] + 0.5 * of_each["aux"]
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in peer.named_parameters()}
        expected = _import(state | gradients, model, np.float64)["params"]

        def objective(params):
            outputs, _ = model.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return losses.segmentation(outputs, labels, config.Loss(aux_weight=0.5))["loss"]

        step = jax.jit(jax.value_and_grad(objective), compiler_options=QUICK)
        value, ours = step(variables["params"])
    assert value == pytest.approx(loss.item(), rel=1e-6)
    for (path, leaf), other in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(expected), strict=True
    ):
        error = np.abs(np.asarray(leaf) - other).max()
        assert error < 1e-4 * np.abs(other).max() + 1e-9, jax.tree_util.keystr(path)


def test_the_names_tell_an_fcn_from_a_deeplab(torchvision):
    """Both have "backbone.layer1" and "classifier.4"."""
    build = torchvision.models.segmentation
    for make, table in (
        (build.fcn_resnet50, tables_torch.torchvision_fcn),
        (build.deeplabv3_resnet50, tables_torch.torchvision_deeplab_v3),
    ):
        with torch.device("meta"):
            names = make(weights=None, weights_backbone=None).state_dict()
        assert [e[:2] for e in load.table_of(names).entries] == [
            e[:2] for e in table(names).entries
        ]
