"""Maps old names of classes and fields in stored configs to the current ones.

The current code evaluates, resumes and reports run folders whose config.json may have older names.
When you rename a class, or move a field into a part, add a line here; nothing else needs to know
the old name. `config.from_dict` applies this table.
"""

from collections.abc import Mapping
from typing import Any

# "module:Class" of an older version -> the current one.
CLASSES: dict[str, str] = {}

# The parts that fields were moved into, by the field that holds the part: its class, and the
# mapping from old fields to the fields of the part.
PARTS: dict[str, dict[str, Any]] = {
    "augment": {"class": "jaxseg.data.augment.settings:Augment"},
    "normalisation": {"class": "jaxseg.pixels:Normalisation"},
    "norm": {"class": "jaxseg.layers.norm:Norm", "bias_init": 0.0},
    "compute": {"class": "jaxseg.layers.compute:Compute"}
    | dict.fromkeys(("dense", "depthwise", "transposed", "resize", "pool", "roi", "nms"), ""),
    "decoder": {"class": "jaxseg.models.deeplab_v3_plus:Decoder"},
    "separable": {"class": "jaxseg.models.deeplab_v3_plus:Separable"},
}

# For every model and backbone: old field -> current field.
NETWORKS = {
    "norm": "norm.kind",
    "norm_epsilon": "norm.epsilon",
    "norm_decay": "norm.decay",
    "norm_groups": "norm.groups",
    "norm_bias_init": "norm.bias_init",
    "dtype": "compute.dtype",
    "form": "compute.form",
}
_NETWORK_ROOMS = ("jaxseg.models.", "jaxseg.backbones.")

_AUGMENT = (
    *("short_side", "long_side", "scale_range", "scale_step", "flip", "jitter", "rotation"),
    *("rotation_probability", "elastic", "blur", "photometric", "class_crops", "class_limit"),
    *("class_limit_draws", "border"),
)

# For a single class, by its current name.
FIELDS: dict[str, dict[str, str]] = {
    "jaxseg.config:Data": {
        **{name: f"augment.{name}" for name in _AUGMENT},
        "mean": "normalisation.mean",
        "std": "normalisation.std",
    },
    "jaxseg.config:Train": {"peer_timeout": "heartbeat_timeout"},
    "jaxseg.models.deeplab_v3_plus:DeepLabV3Plus": {
        "low_level": "decoder.low_level",
        "middle_levels": "decoder.middle_levels",
        "low_level_features": "decoder.low_level_features",
        "decoder_features": "decoder.features",
        "decoder_convs": "decoder.convs",
        "decoder_kernel_size": "decoder.kernel_size",
        "aspp_separable": "separable.aspp",
        "decoder_separable": "separable.decoder",
        "normalise_depthwise": "separable.normalise_depthwise",
        "separable_init": "separable.init",
    },
}

# Fields of tasks that older versions did not have; that their configs lack them says nothing about
# the runs: "module:Class" -> fields that get their default without a warning.
ADDED: dict[str, frozenset[str]] = {
    "jaxseg.config:Experiment": frozenset({"detection"}),
    "jaxseg.config:Data": frozenset({"instances"}),
    "jaxseg.config:Detection": frozenset({"instance", "semantic"}),
    "jaxseg.config:Eval": frozenset({"semantic", "stuff_area"}),
}


def current(values: Any) -> Any:
    """A whole stored config with current names.

    Args:
      values: JSON values, as returned by `config.to_dict` of this or an older version.
    """
    if isinstance(values, list):
        return [current(value) for value in values]
    if not isinstance(values, Mapping):
        return values
    return {name: current(value) for name, value in part(values).items()}


def part(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Like `current`, for one part only: nested parts keep their names."""
    named = values.get("class")
    if not isinstance(named, str):
        return values
    named = CLASSES.get(named, named)
    moved = moves(named)
    renamed: dict[str, Any] = {}
    for name, value in (dict(values) | {"class": named}).items():
        # "norm" was the kind of norm; now it is the part that holds the kind.
        if name not in moved or (name in PARTS and isinstance(value, Mapping)):
            renamed[name] = value
            continue
        holder, _, field = moved[name].partition(".")
        if not field:
            renamed[holder] = value
            continue
        renamed.setdefault(holder, dict(PARTS[holder]))[field] = value
    return renamed


def moves(named: str) -> dict[str, str]:
    """Maps old fields to current ones, for the class "module:Class"."""
    of_networks = NETWORKS if named.startswith(_NETWORK_ROOMS) else {}
    return of_networks | FIELDS.get(named, {})
