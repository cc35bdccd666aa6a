"""The papers' evaluation protocols, as values of `config.Eval`.

    python -m jaxseg.main --mode=evaluate --workdir=runs/NAME --protocol=deeplab_v3_multi
    python -m jaxseg.main ... --protocol=pspnet_multi --config.eval.long_side=2048

A field given as --config.eval.FIELD overrides the protocol. Fields that do not affect the
predictions for an image, such as batch_size, use_ema and examples, keep the values of the run.
Protocols that name no data set are for VOC.
"""

import dataclasses
from collections.abc import Collection

import jax

from jaxseg.checks.protocol import protocol_faults
from jaxseg.config import Eval
from jaxseg.errors import together
from jaxseg.settings import bounds

_SIX = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_KEPT = (
    *("batch_size", "use_ema", "examples", "boundary", "hausdorff", "calibration"),
    "semantic",
)

_PSPNET = Eval(
    long_side=512, sliding=True, crop_size=(473, 473), stride=2 / 3, flip=True, fusion="logits"
)
_SEMSEG = dataclasses.replace(_PSPNET, fusion="probabilities")
_ENCNET = Eval(
    long_side=520, sliding=True, crop_size=(480, 480), stride=2 / 3, flip=True, fusion="exp"
)

PROTOCOLS: dict[str, Eval] = {
    # FCN (arXiv 1411.4038): the whole image at a single scale.
    "fcn": Eval(),
    # DeepLab v1 (1412.7062): padded to 513 with the mean, and the CRF of its scripts.
    "deeplab_v1": Eval(size=(513, 513), crf="deeplab_v1"),
    # DeepLab v2 (1606.00915), section 4.1: the maximum score over three scales, and the CRF. A
    # network that combines the scales itself, like the released ResNet-101, needs scales=1.
    "deeplab_v2": Eval(size=(513, 513), scales=(0.5, 0.75, 1.0), fusion="max", crf="deeplab_v2"),
    # DeepLab v3 (1706.05587), section 4.1: trained at output stride 16, tested at 8.
    "deeplab_v3": Eval(size=(513, 513), output_stride=8),
    "deeplab_v3_multi": Eval(size=(513, 513), output_stride=8, scales=_SIX, flip=True),
    # DeepLab v3+ (1802.02611), section 4: output stride 16, and 8 with scales in Table 5.
    "deeplab_v3_plus": Eval(size=(513, 513), output_stride=16),
    "deeplab_v3_plus_multi": Eval(size=(513, 513), output_stride=8, scales=_SIX, flip=True),
    # PSPNet (1612.01105) by its released Caffe code, hszhao/PSPNet, evaluation/scale_process.m and
    # caffe_process.m: a long side of 512, crops of 473, each with its mirror image, whose logits
    # are added before the softmax, even for single-scale results.
    "pspnet": _PSPNET,
    "pspnet_multi": dataclasses.replace(_PSPNET, scales=_SIX),
    "pspnet_cityscapes": Eval(
        sliding=True, crop_size=(713, 713), stride=2 / 3, flip=True, fusion="logits"
    ),
    # PSPNet by its authors' PyTorch code, hszhao/semseg, tool/test.py (net_process, scale_process):
    # the same base sizes and crops, always with the mirror image, and the mean of both softmax.
    # Departure: an image smaller than a crop is padded at the bottom and right, as in the Caffe
    # code; semseg centres it.
    "semseg": _SEMSEG,
    "semseg_multi": dataclasses.replace(_SEMSEG, scales=_SIX),
    "semseg_cityscapes": dataclasses.replace(_SEMSEG, long_side=2048, crop_size=(713, 713)),
    # RefineNet (1611.06612) by its released code, guosheng/refinenet, main/my_get_batch_ds_info.m
    # and gen_net_opts_model_type1.m: an image with a short side below 450 is upscaled to it, and
    # each scale is multiplied by 1.2; demo_predict_mscale_voc.m has the five scales. Departure:
    # probabilities are averaged.
    "refinenet": Eval(short_side=450, scales=(1.2,)),
    "refinenet_multi": Eval(short_side=450, scales=(0.48, 0.72, 0.96, 1.2, 1.44)),
    # Dilation (1511.07122) by its released code: tiles of 900 that include 186 pixels on each side,
    # by which the network does not pad again (jaxseg.inference.own_border).
    "dilation": Eval(sliding=True, crop_size=(900, 900), stride=1.0, margin=186, border="mirror"),
    # U-Net (1505.04597), sections 2 and 3: tiles of 572, of which 388 are kept, mirror padding, and
    # the mean over seven rotations. Unsure: which seven; here multiples of 360 / 7 degrees.
    "unet": Eval(
        sliding=True,
        crop_size=(572, 572),
        stride=1.0,
        margin=92,
        border="mirror",
        rotations=7,
    ),
    # Cityscapes at full resolution: whole images, as in DeepLab, or overlapping tiles. Unsure: the
    # DeepLab papers state no tile size; 769 is DeepLab's training crop.
    "cityscapes": Eval(size=(1025, 2049)),
    "cityscapes_tiles": Eval(sliding=True, crop_size=(769, 769), stride=2 / 3),
    # EncNet (1803.08904) by its released code, zhanghang1989/PyTorch-Encoding,
    # encoding/models/base.py (MultiEvalModule, module_inference): a long side of 520, crops of 480,
    # steps of 320; the logits of a crop and its mirror image are added, and exp of the sum, not
    # softmax, is averaged over crops and summed over scales. Departure: the last crop ends at the
    # image's border; in the released code it starts one step after the previous one and is padded.
    "encnet": _ENCNET,
    "encnet_multi": dataclasses.replace(_ENCNET, scales=_SIX),
}


def named(name: str, own: Eval, given: Collection[str] = ()) -> Eval:
    """Returns the protocol of a name.

    Args:
      name: a key of `PROTOCOLS`.
      own: the run's protocol, which provides the fields that the papers do not specify.
      given: further fields of `own` to keep, because they were set explicitly.

    Raises:
      ValueError: the name is unknown.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"--protocol={name} is unknown; it can be {', '.join(PROTOCOLS)}")
    kept = {field: getattr(own, field) for field in (*_KEPT, *given)}
    return dataclasses.replace(PROTOCOLS[name], **kept)


def check_protocol(protocol: Eval) -> None:
    """Checks the fields of a protocol.

    Raises:
      ValueError: a field has an invalid value, or several processes would run a CRF; the message
        names the fields and what they must be.
    """
    meaningless = bounds.faults(protocol, "eval") or protocol_faults(protocol)
    if found := meaningless + process_faults(protocol):
        raise ValueError(together(found))


def process_faults(protocol: Eval) -> list[str]:
    """Returns what several processes cannot do; counting them may initialise the devices."""
    if not protocol.crf or jax.process_count() == 1:
        return []
    return [
        f"eval.crf={protocol.crf}: a CRF cannot be run by several processes: set "
        "--config.eval.crf= or use one process"
    ]
