"""Networks that mirror an image's borders themselves, under a protocol that mirrors them too.

U-Net and Dilation take a border off an image and continue it, mirrored, by that much before. A
window of a protocol with a margin brings its surroundings along; mirrored once more it is nearly
twice as large, and its poolings lie elsewhere than those of the whole image: with U-Net's 92 pixels
12 of 16 pixels off. So such a window goes through the same network without its own mirror.
"""

import flax.linen as nn

from jaxseg.config import Eval


def width(model: nn.Module) -> int:
    """Pixels by which the network continues an image on each side; 0 for one that does not."""
    if not getattr(model, "mirror", False):
        return 0
    return int(getattr(model, "border", 0))


def within(model: nn.Module, protocol: Eval) -> nn.Module:
    """The network for what a protocol shows it: without its own mirror where there is a margin.

    Raises:
      ValueError: the margin is not what the network takes off, or there are no windows.
    """
    own, kind = width(model), type(model).__name__
    if not protocol.margin or not own:
        return model
    if not protocol.sliding:
        raise ValueError(
            f"eval.margin={protocol.margin}: {kind} mirrors the borders of a whole image itself: "
            "set --config.eval.margin=0"
        )
    if protocol.margin != own:
        crop = ",".join(str(side - 2 * (protocol.margin - own)) for side in protocol.crop_size)
        raise ValueError(
            f"eval.margin={protocol.margin}: {kind} takes {own} pixels off each side: set "
            f"--config.eval.margin={own} --config.eval.crop_size={crop}, or "
            "--config.eval.margin=0, with which it mirrors them itself"
        )
    return model.clone(mirror=False)
