"""FPN's proposals: windows against loops, both modes, losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.fpn import FPN, Level
from jaxseg.layers.rpn import RPN
from jaxseg.losses.detection import detection
from jaxseg.models.faster_rcnn import C4, FROZEN
from jaxseg.models.fpn import BoxProposals, SegmentProposals, c4_backbone, fpn_backbone
from tests.helpers.variables import count, shapes_of
from tests.losses.test_detection import some_objects
from tests.models.networks import QUICK, images

SIZE = (64, 96)


def backbone(**fields):
    return ResNet(18, width=4, output_stride=32, norm=FROZEN, **fields)


def small(**fields):
    given = {"neck": FPN(8), "features": 8, "samples": 16, "count": 12} | fields
    return SegmentProposals(backbone(), **given)


def test_counts():
    """Table 1 c, and d = 128 with both networks: kernels of 5 and 7, scores, masks of 14 x 14."""
    assert count(shapes_of(BoxProposals(fpn_backbone()))) == 23_508_032 + 3_344_384 + 593_935
    assert count(shapes_of(BoxProposals(c4_backbone(), C4, neck=None))) == 8_543_296 + 9_515_083
    neck = 128 * (256 + 512 + 1024 + 2048 + 4) + 4 * (9 * 128 * 128 + 128)
    windows = (25 + 49) * 128 * 512 + 2 * 512 + 2 * 513 + 2 * 513 * 196
    both = count(shapes_of(SegmentProposals(fpn_backbone())))
    assert both == 23_508_032 + neck + windows
    one = count(shapes_of(SegmentProposals(fpn_backbone(), half_octaves=False)))
    assert both - one == 49 * 128 * 512 + 512 + 513 + 513 * 196
    large = count(shapes_of(SegmentProposals(fpn_backbone(), window=7, half_octaves=False)))
    assert large - one == (49 - 25) * 128 * 512
    with pytest.raises(ValueError, match="window is 7, which half_octaves are for"):
        SegmentProposals(fpn_backbone(), window=7)._networks()


@pytest.mark.parametrize("half_octaves", [False, True])
def test_which_windows_are_positive(half_octaves):
    """The definition, window by window."""
    rng = np.random.default_rng(0)
    model = small(half_octaves=half_octaves)
    levels = [
        Level(np.broadcast_to(0.0, (1, 128 // s, 192 // s, 1)), s, s) for s in (4, 8, 16, 32, 64)
    ]
    grid = model._grid(levels, 1 + half_octaves)
    assert grid.sides.min() == 40
    assert grid.sides.max() == pytest.approx(640 * 2**0.5 if half_octaves else 640)
    corner = rng.uniform(0, 100, (6, 2))
    sides = rng.uniform(1, 90, (6, 2))
    sides[0] = 45.25, 20
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    valid = np.arange(6) < 5
    nearest, kinds = model._matches(grid, jnp.asarray(boxes), jnp.asarray(valid))
    expected = np.zeros(len(grid.kinds), int)
    steps = 1 if half_octaves else 2
    for n in range(len(expected)):
        distances = []
        for box in boxes[valid]:
            scale = max(box[2] - box[0], box[3] - box[1])
            choices = range(0, grid.kinds.max() + 1, steps)
            kind = min(choices, key=lambda k: abs(np.log2(scale / (32 * 2 ** (k / 2)))))
            middle = (box[:2] + box[2:]) / 2
            away = np.abs(middle - grid.centres[n]).max()
            near = kind == grid.kinds[n] and away < levels[kind // 2].stride
            distances.append(away if near else np.inf)
        expected[n] = min(distances) < np.inf
        if expected[n]:
            assert nearest[n] == np.argmin(distances)
    assert 5 < expected.sum() < len(expected) / 4
    np.testing.assert_array_equal(kinds, expected)


def test_the_best_windows_are_the_proposals():
    model = small()
    x = images(SIZE, batch=2)
    variables = jax.jit(lambda: model.init(jax.random.key(0), x, train=False))()
    run = jax.jit(functools.partial(model.apply, train=False), compiler_options=QUICK)
    found = run(variables, x, sizes=jnp.array([SIZE, (20, 40)]))
    assert found["mask_logits"].shape == (2, 12, 14, 14)
    assert found["valid"].all()
    scores = np.asarray(found["scores"])
    assert (np.diff(scores, axis=1) <= 0).all()
    centres = (found["boxes"][..., :2] + found["boxes"][..., 2:]) / 2
    assert centres[1, :, 0].max() < 40
    assert centres[1, :, 1].max() < 20


SLOW = ("boxes", "one network")


@pytest.mark.parametrize(
    "kind", ["segments", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]
)
def test_what_is_trained(kind):
    rng = np.random.default_rng(0)
    objects = some_objects(rng, size=SIZE)
    for b, g in np.argwhere(objects.valid):
        objects.boxes[b, g] = (8, 8, 40, 32 + 8 * g)
    model = {
        "boxes": BoxProposals(backbone(), neck=FPN(8), rpn=RPN((8, 16, 32, 64, 128))),
        "segments": small(mask_size=6),
        "one network": small(half_octaves=False),
    }[kind]
    x = images(SIZE, batch=2)
    variables = jax.jit(lambda: model.init(jax.random.key(0), x, train=False))()

    def objective(params):
        outputs = model.apply(
            {**variables, "params": params},
            x,
            train=True,
            objects=objects,
            rngs={"sampling": jax.random.key(1)},
        )
        terms = detection(outputs, objects, config.Detection(mask=10.0, soft_masks=False))
        return terms["loss"], terms

    run = jax.jit(jax.value_and_grad(objective, has_aux=True), compiler_options=QUICK)
    (loss, terms), gradient = run(variables["params"])
    names = {"objectness", "rpn_box"} if kind == "boxes" else {"objectness", "mask"}
    assert set(terms) == {"loss"} | names
    assert all(np.isfinite(term) and term > 0 for term in terms.values())
    if kind != "boxes":
        expected = float(terms["objectness"]) + 10 * float(terms["mask"])
        assert float(loss) == pytest.approx(expected, rel=1e-5)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
