"""Losses equal to segmentation_models_pytorch and torch, in value and gradient."""

import jax
import numpy as np
import pytest

from jaxseg import losses
from jaxseg.types import IGNORE

pytestmark = pytest.mark.other_libraries
torch = pytest.importorskip("torch")

K = 5


@pytest.fixture(params=["all classes", "absent class", "void image"])
def batch(request):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 9, 11, K), scale=2).astype(np.float32)
    labels = rng.integers(0, K, (2, 9, 11))
    labels[0, :3] = IGNORE
    if request.param == "absent class":
        labels[labels == 2] = 1
    if request.param == "void image":
        labels[0] = IGNORE
    return logits, labels


def assert_equal(ours, theirs, logits, labels):
    """`ours` (logits, labels, valid) -> scalar; `theirs` (torch logits [B, K, H, W], labels)."""
    value, gradient = jax.value_and_grad(ours)(logits, labels, labels != IGNORE)
    x = torch.tensor(logits.transpose(0, 3, 1, 2), requires_grad=True)
    expected = theirs(x, torch.tensor(labels))
    expected.backward()
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(gradient, x.grad.numpy().transpose(0, 2, 3, 1), atol=1e-6, rtol=1e-4)


def test_soft_dice(smp, batch):
    """smp divides by the number of all classes, absent ones included."""
    logits, labels = batch
    present = len(np.unique(labels[labels != IGNORE]))
    dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)
    assert_equal(losses.soft_dice, lambda x, y: dice(x, y) * K / present, logits, labels)


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_softmax(smp, batch, per_image):
    logits, labels = batch
    if per_image and np.all(labels[0] == IGNORE):
        pytest.skip("smp counts an image without valid pixels")
    lovasz = smp.losses.LovaszLoss("multiclass", per_image=per_image, ignore_index=IGNORE)
    assert_equal(
        lambda x, y, v: losses.lovasz_softmax(x, y, v, per_image=per_image), lovasz, logits, labels
    )


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_of_torchs_cross_entropy(batch, gamma):
    """There is no softmax focal loss in torch; its definition on torch's own cross-entropy."""

    def theirs(x, y):
        each = torch.nn.functional.cross_entropy(x, y, ignore_index=IGNORE, reduction="none")
        return ((1 - torch.exp(-each)) ** gamma * each).sum() / (y != IGNORE).sum()

    def ours(x, y, valid):
        return losses.masked_mean(losses.focal(x, y, valid, gamma=gamma), valid)

    assert_equal(ours, theirs, *batch)


def test_hardest_of_torchs_cross_entropy(batch):
    def theirs(x, y):
        each = torch.nn.functional.cross_entropy(x, y, ignore_index=IGNORE, reduction="none")
        top, _ = each.flatten().topk(int(0.2 * y.numel()))
        return top.sum() / (top != 0).sum()

    def ours(x, y, valid):
        return losses.hardest_mean(losses.cross_entropy(x, y, valid), 0.2)

    assert_equal(ours, theirs, *batch)


def test_presence_is_binary_cross_entropy(batch):
    _, labels = batch
    labels = np.where((labels == IGNORE).all(axis=(1, 2))[:, None, None], 0, labels)
    scores = np.random.default_rng(1).normal(size=(2, K)).astype(np.float32)
    value, gradient = jax.value_and_grad(losses.presence_loss)(scores, labels, labels != IGNORE)
    x = torch.tensor(scores, requires_grad=True)
    held = torch.stack(
        [torch.histc(torch.tensor(y[y != IGNORE]).float(), K, 0, K - 1) for y in labels]
    )
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, (held > 0).float())
    expected.backward()
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-7)
