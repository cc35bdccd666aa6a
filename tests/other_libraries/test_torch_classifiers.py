"""torchvision's VGG and AlexNet with random weights carried over: features and class scores."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.vgg import VGG, FullyConvolutional
from jaxseg.layers.norm import Norm
from jaxseg.weights import adapt, match
from jaxseg.weights.load import table_of
from jaxseg.weights.place import Wishes
from jaxseg.weights.tables import torch_classifiers
from tests.models.networks import QUICK

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")


def _randomised(module):
    """Memory for a module without any, filled at random; the spread keeps features near 1."""
    module = module.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.ndim > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
            elif tensor.ndim:
                low, high = (0.5, 1.5) if name.endswith(("weight", "var")) else (-0.3, 0.3)
                tensor.uniform_(low, high, generator=generator)
            else:
                tensor.zero_()
    return module


def _empty(torchvision, name):
    """The network without memory: its fully connected layers have half a gigabyte."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)(weights=None)


def _tensors(module, prefix=""):
    return {f"{prefix}{name}": tensor.numpy() for name, tensor in module.state_dict().items()}


def _shapes(model, size):
    images = jnp.zeros((1, *size, 3))
    return jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))


def _images(size):
    return np.random.default_rng(0).normal(size=(1, *size, 3)).astype(np.float32)


def _torch(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _run(model, variables, images):
    apply = functools.partial(model.apply, train=False)
    return jax.jit(apply, compiler_options=QUICK)(variables, images)


def _assert_close(ours, theirs):
    scale = np.abs(theirs).max()
    assert theirs.std() > 1e-3 * scale
    assert ours.shape == theirs.shape
    assert np.abs(np.asarray(ours) - theirs).max() < 1e-4 * scale


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_features(torchvision, depth, norm):
    name = f"vgg{depth}" if norm == "none" else f"vgg{depth}_bn"
    features = _randomised(_empty(torchvision, name).features)
    tensors = _tensors(features, "features.")
    model = VGG(depth=depth, norm=Norm(norm))
    table = torch_classifiers.vgg(tensors)
    convolutions = tuple(e for e in table.entries if "/fc" not in e.target)
    table = match.Table(convolutions, table.ignored)
    images = _images((64, 32))
    variables = match.fill(tensors, _shapes(model, (32, 32)), table)
    ends = _run(model, variables, images)
    with torch.inference_mode():
        expected = features(_torch(images)).numpy().transpose(0, 2, 3, 1)
    _assert_close(ends["features"], expected)


class Classifier(nn.Module):
    """Features, fc6 and fc7, as FCN begins."""

    backbone: nn.Module
    kernel_size: int

    @nn.compact
    def __call__(self, images, *, train):
        x = self.backbone(images, train=train)["features"]
        head = FullyConvolutional(kernel_size=self.kernel_size, padding=0, name="head")
        return head(x, train=train)


@pytest.mark.parametrize(
    ("name", "backbone", "kernel_size", "size"),
    [("vgg16", VGG(), 7, (224, 224)), ("alexnet", AlexNet(variant="torchvision"), 6, (224, 224))],
    ids=["vgg16", "alexnet"],
)
def test_class_scores(torchvision, name, backbone, kernel_size, size):
    """The last layer is torch's own on both sides: it has no place in a network of pixels."""
    peer = _randomised(_empty(torchvision, name))
    tensors = _tensors(peer)
    model = Classifier(backbone, kernel_size)
    shapes = _shapes(model, size)
    start = {
        name: jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), tree)
        for name, tree in shapes.items()
    }
    variables, origins = adapt.take_from_file(
        tensors,
        table_of(tensors),
        adapt.Model(start, lambda *_: shapes, 0),
        Wishes(),
        file="peer",
    )
    assert not origins.fresh
    assert origins.left == ["classifier.6.weight", "classifier.6.bias"]
    images = _images(size)
    fc7 = np.asarray(_run(model, variables, images))
    assert fc7.shape == (1, 1, 1, 4096)
    scores = fc7.reshape(1, -1) @ tensors["classifier.6.weight"].T + tensors["classifier.6.bias"]
    with torch.inference_mode():
        _assert_close(scores, peer(_torch(images)).numpy())
