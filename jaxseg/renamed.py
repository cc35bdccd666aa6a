"""Old names of classes and fields in stored configs, and what each is called today.

A run folder is evaluated, resumed and reported by the code of today, and its config.json has the
names of its day. Whoever renames a class, or moves a field into a part, adds a line here; nothing
else has to know the old name. `config.from_dict` reads through this table.
"""

from collections.abc import Mapping
from typing import Any

# "module:Class" of an older version -> that of today.
CLASSES: dict[str, str] = {}

# The parts that fields were moved into, by the field that holds one: its class, and what the old
# fields said of those that came with it.
PARTS: dict[str, dict[str, Any]] = {
    "augment": {"class": "jaxseg.data.augment.settings:Augment"},
    "normalisation": {"class": "jaxseg.pixels:Normalisation"},
    "norm": {"class": "jaxseg.layers.norm:Norm", "bias_init": 0.0},
    "compute": {"class": "jaxseg.layers.compute:Compute"}
    | dict.fromkeys(("dense", "depthwise", "transposed", "resize", "pool"), ""),
    "decoder": {"class": "jaxseg.models.deeplab_v3_plus:Decoder"},
    "separable": {"class": "jaxseg.models.deeplab_v3_plus:Separable"},
}

# Of every model and backbone: field -> where it stands today.
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

# Of a single class, by its name of today.
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


def current(values: Any) -> Any:
    """A whole stored config in the names of today; one that has them stays as it is.

    Args:
      values: JSON values, as `config.to_dict` of this or an older version gave them.
    """
    if isinstance(values, list):
        return [current(value) for value in values]
    if not isinstance(values, Mapping):
        return values
    return {name: current(value) for name, value in part(values).items()}


def part(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `current`, of one part alone: what it holds keeps the names that it has."""
    named = values.get("class")
    if not isinstance(named, str):
        return values
    named = CLASSES.get(named, named)
    moved = moves(named)
    renamed: dict[str, Any] = {}
    for name, value in (dict(values) | {"class": named}).items():
        # "norm" was the kind of norm, and is the part that holds it.
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
    """Old field -> where it stands today, of the class "module:Class"."""
    of_networks = NETWORKS if named.startswith(_NETWORK_ROOMS) else {}
    return of_networks | FIELDS.get(named, {})
