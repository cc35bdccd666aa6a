"""Finds invalid values and combinations in a protocol of evaluation and prediction."""

from jaxseg.config import Eval
from jaxseg.postprocess import crf_parameters


def protocol_faults(protocol: Eval) -> list[str]:
    """The faults of a protocol: invalid fields and combinations, each with its requirement."""
    found = []
    if not protocol.scales or min(protocol.scales) <= 0:
        found.append(
            f"eval.scales={protocol.scales} must be positive numbers, at least one: set "
            "--config.eval.scales=1"
        )
    if any(protocol.size) and min(protocol.size) < 1:
        found.append(
            f"eval.size={protocol.size} must be two positive numbers, or 0,0: set "
            "--config.eval.size=0,0"
        )
    if protocol.sliding:
        found += _window_faults(protocol)
    if protocol.fusion == "max" and (protocol.sliding or protocol.margin):
        found.append(
            "eval.fusion=max takes the highest logit over views of whole images: leave "
            "eval.sliding and eval.margin off (--config.eval.sliding=False --config.eval.margin=0)"
        )
    try:
        crf_parameters.read(protocol.crf)
    except ValueError as error:
        found.append(str(error))
    return found


def _window_faults(protocol: Eval) -> list[str]:
    found = []
    if 2 * protocol.margin >= min(protocol.crop_size):
        found.append(
            f"eval.margin={protocol.margin} leaves no pixels of a window of {protocol.crop_size}: "
            "set --config.eval.margin=0"
        )
    odd = [scale for scale in protocol.scales if abs(1000 * scale - round(1000 * scale)) > 1e-6]
    if odd:
        found.append(
            f"eval.scales={protocol.scales}: windows support scales of up to three digits: set "
            f"--config.eval.scales={','.join(f'{scale:.3g}' for scale in protocol.scales)}"
        )
    return found
