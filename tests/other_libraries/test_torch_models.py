"""Equal to torchvision and segmentation_models_pytorch with random weights carried over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, losses
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import Compute
from jaxseg.models.compat import (
    smp_deeplab_v3,
    smp_deeplab_v3_plus,
    smp_fpn,
    smp_unet,
    torchvision_deeplab_v3,
)
from jaxseg.weights import match
from jaxseg.weights.tables import torchvision as tables_torch

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


def _randomise(model):
    """Random parameters and statistics; residual branches weigh less than their shortcuts."""
    generator = torch.Generator().manual_seed(0)

    def uniform(tensor, low, high):
        tensor.uniform_(low, high, generator=generator)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                uniform(module.weight, 0.5, 1.0)
                uniform(module.bias, -0.3, 0.3)
                uniform(module.running_mean, -0.2, 0.2)
                uniform(module.running_var, 0.5, 1.5)
            elif isinstance(module, torch.nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
                if module.bias is not None:
                    uniform(module.bias, -1, 1)
    return model.eval()


def _images(size, batch=2):
    return np.random.default_rng(0).normal(size=(batch, *size, 3)).astype(np.float32)


def _torch(array):
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def _numpy(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def _import(peer, model, table_of, dtype=np.float32):
    tensors = {name: tensor.numpy() for name, tensor in peer.state_dict().items()}
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 33, 33, 3)), train=False)
    )
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)
    return match.fill(tensors, shapes, table_of(tensors))


def _apply(model, variables, images):
    return jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)


def _assert_close(ours, theirs, tolerance=1e-4):
    """Relative to the peer's largest value; and the comparison must mean something."""
    ours, theirs = np.asarray(ours), _numpy(theirs)
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max()
    assert theirs.std() > 1e-3 * scale
    assert np.abs(ours - theirs).max() < tolerance * scale


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet_end_points(torchvision, depth):
    peer = _randomise(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    model = ResNet(depth=depth, output_stride=32)
    variables = _import(peer, model, tables_torch.resnet)
    images = _images((65, 64), batch=1)
    ends = _apply(model, variables, images)
    with torch.inference_mode():
        x = peer.relu(peer.bn1(peer.conv1(_torch(images))))
        _assert_close(ends["stem"], x)
        x = peer.maxpool(x)
        for stage in (1, 2, 3, 4):
            x = getattr(peer, f"layer{stage}")(x)
            _assert_close(ends[f"stage{stage}"], x)


@pytest.mark.parametrize("depth", [50, 101])
def test_torchvision_deeplab_v3(torchvision, depth):
    build = getattr(torchvision.models.segmentation, f"deeplabv3_resnet{depth}")
    peer = _randomise(build(weights=None, weights_backbone=None, num_classes=21, aux_loss=True))
    model = torchvision_deeplab_v3(depth, 21)
    variables = _import(peer, model, tables_torch.torchvision_deeplab_v3)
    images = _images((97, 80), batch=1)
    outputs = _apply(model, variables, images)
    with torch.inference_mode():
        theirs = peer(_torch(images))
    _assert_close(outputs["logits"], theirs["out"])
    _assert_close(outputs["aux_logits"], theirs["aux"])


SMP = [
    ("DeepLabV3", smp_deeplab_v3, tables_torch.smp_deeplab_v3),
    ("DeepLabV3Plus", smp_deeplab_v3_plus, tables_torch.smp_deeplab_v3_plus),
]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize(("name", "constructor", "table"), SMP, ids=[row[0] for row in SMP])
def test_smp(smp, name, constructor, table, depth, output_stride):
    if output_stride == 8 and depth == 34:
        pytest.skip("the same code as 18 and 50")
    build = getattr(smp, name)
    peer = _randomise(
        build(
            f"resnet{depth}",
            encoder_weights=None,
            classes=21,
            encoder_output_stride=output_stride,
        )
    )
    model = constructor(depth, 21, output_stride=output_stride)
    variables = _import(peer, model, table)
    images = _images((96, 80), batch=1)
    with torch.inference_mode():
        theirs = peer(_torch(images))
    if name == "DeepLabV3Plus" and output_stride == 8:
        # smp takes layer 1 and enlarges the encoder's map by 2, as these sizes are to each other.
        assert theirs.shape[2:] == images.shape[1:3]
    _assert_close(_apply(model, variables, images)["logits"], theirs)


@pytest.mark.parametrize("depth", [18, 50])
def test_smp_fpn(smp, depth):
    peer = _randomise(smp.FPN(f"resnet{depth}", encoder_weights=None, classes=21))
    model = smp_fpn(depth, 21)
    variables = _import(peer, model, tables_torch.smp_fpn)
    images = _images((96, 64), batch=1)
    with torch.inference_mode():
        theirs = peer(_torch(images))
    _assert_close(_apply(model, variables, images)["logits"], theirs)


@pytest.mark.parametrize("depth", [18, 50])
def test_smp_unet(smp, depth):
    peer = _randomise(smp.Unet(f"resnet{depth}", encoder_weights=None, classes=21))
    model = smp_unet(depth, 21)
    variables = _import(peer, model, tables_torch.smp_unet)
    images = _images((96, 64), batch=1)
    with torch.inference_mode():
        theirs = peer(_torch(images))
    _assert_close(_apply(model, variables, images)["logits"], theirs)


def _torch_gradients(peer, images, labels, aux_weight):
    """The loss in train mode, and its gradient under every name of the state."""
    peer.train()
    for module in peer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    outputs = peer(_torch(images))
    outputs = outputs if isinstance(outputs, dict) else {"out": outputs}
    targets = torch.from_numpy(labels.astype(np.int64))
    of = {
        name: torch.nn.functional.cross_entropy(logits, targets, ignore_index=255)
        for name, logits in outputs.items()
    }
    loss = of["out"] + aux_weight * of.get("aux", 0.0)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in peer.named_parameters()}
    state = peer.state_dict()
    return loss.item(), {name: gradients.get(name, state[name]).detach() for name in state}


@pytest.mark.parametrize("name", ["torchvision", "DeepLabV3", "DeepLabV3Plus", "Unet"])
def test_loss_and_gradients_in_train_mode(smp, torchvision, name):
    """Batch statistics, void pixels and the auxiliary head included; in float64, to be sure."""
    if name == "torchvision":
        build = torchvision.models.segmentation.deeplabv3_resnet50
        peer = build(weights=None, weights_backbone=None, num_classes=5, aux_loss=True)
        model, table = torchvision_deeplab_v3(50, 5), tables_torch.torchvision_deeplab_v3
    elif name == "Unet":
        peer = smp.Unet("resnet18", encoder_weights=None, classes=5)
        model, table = smp_unet(18, 5), tables_torch.smp_unet
    else:
        constructor, table = {row[0]: row[1:] for row in SMP}[name]
        peer = getattr(smp, name)(
            "resnet18", encoder_weights=None, classes=5, encoder_output_stride=16
        )
        model = constructor(18, 5, output_stride=16)
    peer = _randomise(peer).double()
    images = _images((64, 96)).astype(np.float64)
    labels = np.random.default_rng(1).integers(0, 5, images.shape[:3], dtype=np.uint8)
    labels[:, :7] = 255
    with jax.enable_x64(True):
        fields = {"compute": Compute("float64"), "dropout": 0.0, "aux_dropout": 0.0}
        model = config.with_fields(model, fields)
        variables = _import(peer, model, table, np.float64)
        expected_loss, tensors = _torch_gradients(peer, images, labels, aux_weight=0.5)

        def objective(params):
            outputs, _ = model.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            return losses.segmentation(outputs, labels, config.Loss(aux_weight=0.5))["loss"]

        loss, gradients = jax.jit(jax.value_and_grad(objective))(variables["params"])
        named = {key: tensor.numpy() for key, tensor in tensors.items()}
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, np.float64), variables)
        expected = match.fill(named, shapes, table(named))["params"]
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        for (path, ours), theirs in zip(
            jax.tree.leaves_with_path(gradients), jax.tree.leaves(expected), strict=True
        ):
            error = np.abs(np.asarray(ours) - theirs).max()
            assert error < 1e-4 * np.abs(theirs).max() + 1e-9, jax.tree_util.keystr(path)
