"""H. Recipes and protocols according to their released code, and borders mirrored once."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments.encnet import pascal_context
from experiments.pspnet import voc as pspnet_voc
from experiments.refinenet import voc
from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg.data.augment.transforms import Transform
from jaxseg.inference import own_border, protocols
from jaxseg.models.unet import UNet
from jaxseg.training import optim

TESTS = "tests/training/test_recipes.py::"


def _u_net(folder: pathlib.Path) -> Seen:
    inner = own_border.within(UNet(2), protocols.PROTOCOLS["unet"])
    window = jax.ShapeDtypeStruct((1, 572, 572, 3), jnp.float32)
    seen = functools.partial(inner.init_with_output, train=False)
    outputs, _ = jax.eval_shape(seen, jax.random.key(0), window)
    size = outputs["logits"].shape[1:3]
    return situation.right(size == (388, 388), f"a window of 572 gives its inner {size[0]} pixels")


def _wrong_margin(folder: pathlib.Path) -> Seen:
    return situation.refusal(
        lambda: own_border.within(UNet(2), protocols.PROTOCOLS["dilation"]),
        "eval.margin=186",
        "--config.eval.margin=92",
    )


def _refinenet(folder: pathlib.Path) -> Seen:
    data = voc.get_config().data
    transform = Transform(data.crop_size, data.augment)
    rng = np.random.default_rng(0)
    scales = [float(transform.draw(rng, 333, 500).scale) for _ in range(100)]
    wanted = 0.84 * 450 / 333, 1.56 * 450 / 333
    near = abs(min(scales) - wanted[0]) < 0.01 and abs(max(scales) - wanted[1]) < 0.01
    return situation.right(near, f"500 x 333 is seen at {min(scales):.2f} to {max(scales):.2f}")


def _two_codes(folder: pathlib.Path) -> Seen:
    caffe, torch = protocols.PROTOCOLS["pspnet"], protocols.PROTOCOLS["semseg"]
    own = pspnet_voc.get_config().eval
    fusions = (caffe.fusion, torch.fusion, own.fusion, own.flip, own.long_side)
    return situation.right(
        fusions == ("logits", "probabilities", "probabilities", True, 512),
        "pspnet adds logits, semseg takes the mean of softmax, as pspnet_voc does; flip, 512",
    )


def _encnet(folder: pathlib.Path) -> Seen:
    experiment = pascal_context.get_config()
    found = experiment.eval
    return situation.right(
        (found.fusion, found.flip, found.long_side, experiment.data.augment.long_side)
        == ("exp", True, 520, 520),
        "long side 520 in training and evaluation, flip, exp of the logits' sum",
    )


def _decay(folder: pathlib.Path) -> Seen:
    params = {
        "conv": {"kernel": np.ones((1, 1, 2, 2)), "bias": np.ones(2)},
        "norm": {"scale": np.ones(2), "bias": np.ones(2)},
        "deep": {"kernel": np.ones((3, 3, 1, 2))},
    }

    def count(*decayed: str) -> int:
        return sum(jax.tree.leaves(optim.decay_mask(params, decayed)))

    counts = count("kernels"), count("kernels", "scales"), count("all")
    return situation.right(counts == (1, 2, 5), f"{counts} of 5 arrays decay")


SITUATIONS: tuple[Situation, ...] = (
    Situation(
        "H",
        "a U-Net that mirrors, in windows with a margin",
        "mirrored twice: 1.78 times the pixels, probabilities off by 0.084",
        f"{TESTS}test_a_u_net_in_windows_is_the_u_net_on_the_whole_image",
        _u_net,
    ),
    Situation(
        "H",
        "--protocol=dilation on a U-Net",
        "mirrored twice, exit 0",
        f"{TESTS}test_a_margin_that_is_not_the_network_s_is_refused",
        _wrong_margin,
    ),
    Situation(
        "H",
        "RefineNet's scales of an image of 500 x 333",
        "0.84 to 1.56",
        f"{TESTS}test_refinenet_enlarges_a_short_side_to_450_before_it_scales",
        _refinenet,
    ),
    Situation(
        "H",
        "PSPNet by its two released codes",
        "one protocol; pspnet_voc without flip and base size",
        f"{TESTS}test_semseg_takes_the_mean_of_both_softmax_and_pspnet_that_of_the_sum",
        _two_codes,
    ),
    Situation(
        "H",
        "EncNet by its released code",
        "softmax in place of exp; no long side, no flip",
        f"{TESTS}test_encnet_adds_the_logits_of_both_sides_and_averages_their_exp",
        _encnet,
    ),
    Situation(
        "H",
        "weight decay of norms, biases and depthwise kernels",
        "no field for it",
        f"{TESTS}test_what_the_released_code_decays_decays",
        _decay,
    ),
)
