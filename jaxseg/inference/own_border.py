"""Networks that mirror an image's borders themselves, in protocols that mirror them too.

U-Net and Dilation lose a border of the image, and first pad the image by it with mirrored pixels.
A window of a protocol with a margin already includes its surroundings; if it were padded again, it
would be nearly twice as large, and its poolings would not be aligned with those of the whole image:
with U-Net's 92 pixels they would be off by 12 of 16 pixels. Therefore such windows are passed
through the same network without its mirror padding.
"""

import flax.linen as nn

from jaxseg.config import Eval


def width(model: nn.Module) -> int:
    """Returns the pixels by which the network mirror-pads an image on each side, or 0."""
    if not getattr(model, "mirror", False):
        return 0
    return int(getattr(model, "border", 0))


def within(model: nn.Module, protocol: Eval) -> nn.Module:
    """Returns the network for a protocol: without mirror padding if the protocol has a margin.

    Raises:
      ValueError: the margin is not the border that the network loses, or there are no windows.
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
            f"eval.margin={protocol.margin}: {kind} loses {own} pixels on each side: set "
            f"--config.eval.margin={own} --config.eval.crop_size={crop}, or "
            "--config.eval.margin=0, with which it mirrors them itself"
        )
    return model.clone(mirror=False)
