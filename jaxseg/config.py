"""The experiment: one tree of dataclasses, the only place where defaults live.

An experiment file has `get_config() -> Experiment`; the command line changes any field of it
(`--config.optim.learning_rate=0.01 --config.model.backbone.output_stride=8`). The model is a
linen module, a dataclass itself, so its fields are set in the same way. `to_dict` and `from_dict`
turn the whole tree into plain JSON and back: a run folder holds it, and needs nothing else to be
evaluated, resumed or used for prediction.
"""

import dataclasses
import importlib
import logging
import re
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn

from jaxseg import renamed

_log = logging.getLogger(__name__)

DECAYED = ("kernels", "depthwise", "biases", "scales", "shifts", "others")  # of Optim.decayed
# The rooms of this package whose classes a stored config may name; they are imported for it.
_ROOMS = re.compile(r"jaxseg\.config|jaxseg\.(models|backbones|layers)(\.[A-Za-z0-9_]+)*")
_DEEPEST = 32  # parts within parts; an experiment has about six


@dataclasses.dataclass
class Data:
    """Where images come from and what is done to them before the network sees them."""

    name: str = "shapes"  # a builder of jaxseg/data/builders; "folder/NAME" for your own
    data_dir: str = "data"  # prepared sets (array_record), as written by jaxseg.data.prepare
    manual_dir: str = ""  # published files, for the sets that are prepared from them
    train_split: str = "train"
    eval_split: str = "val"
    batch_size: int = 16  # global, over all devices and processes
    crop_size: tuple[int, int] = (513, 513)  # (height, width)
    short_side: int = 0  # images whose shorter side is below this are first enlarged to it
    long_side: int = 0  # that each image is first brought to; 0: scales are of the image as it is
    scale_range: tuple[float, float] = (0.5, 2.0)
    scale_step: float = 0.0  # 0: uniform in the range; else the discrete grid of this step
    flip: bool = True
    jitter: float = 0.0  # strength of brightness, contrast and saturation changes; 0: none
    rotation: float = 0.0  # degrees; uniform from -rotation to rotation
    rotation_probability: float = 1.0
    elastic: float = 0.0  # deviation in pixels of U-Net's random displacements; 0: none
    blur: float = 0.0  # probability of PSPNet's blur
    photometric: bool = False  # SSD's random brightness, contrast, saturation and hue
    class_crops: bool = False  # centred on a pixel of a random class of the image, as RefineNet's
    class_limit: float = 1.0  # crops in which a class has this share are drawn again; 1: none
    class_limit_draws: int = 10  # of so many the last stands
    duplicate: tuple[str, ...] = ()  # classes whose images stand twice in an epoch (DeepLab v3)
    balance: bool = False  # images are drawn so that every class is as likely as the others
    border: str = "mean"  # beyond the image: the mean colour or "zero", both void, or "mirror"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)  # of uint8 RGB; also the pad value
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    threads: int = 8  # reader threads of this process
    prefetch: int = 64  # examples read ahead by those threads


@dataclasses.dataclass
class Loss:
    """What is minimised: a weighted sum of terms (0: left out), each over the valid pixels.

    The reduction "pixels" divides sums over pixels by the number of the valid ones, "images" by the
    number of images, as Caffe without normalisation (the released FCN): a learning rate for the one
    is wrong for the other by the pixels of an image.
    """

    cross_entropy: float = 1.0
    focal: float = 0.0
    dice: float = 0.0
    lovasz: float = 0.0
    coarse: float = 0.0  # of the cross-entropies summed over all coarse_logits of the model
    aux_weight: float = 0.4  # of the cross-entropy on aux_logits, for models that have them
    presence: float = 0.2  # of the SE-loss on presence_logits, for models that have them
    class_weights: tuple[float, ...] = ()  # of cross-entropy and focal, one per class; empty: all 1
    label_smoothing: float = 0.0  # of cross-entropy
    hardest: float = 1.0  # share of the pixels that cross-entropy counts, those with the most of it
    boundary: float = 0.0  # w0 of U-Net's weight map, which adds to the class weights; 0: no map
    boundary_sigma: float = 5.0  # pixels
    focal_gamma: float = 2.0
    dice_squared: bool = False  # squares in the denominator
    dice_per_class: bool = True  # the mean over classes, else one coefficient of all together
    per_image: bool = False  # dice and lovasz: of each image, else of the batch
    reduction: str = "pixels"  # or "images": what sums over pixels are divided by


@dataclasses.dataclass
class Optim:
    """Optimiser and schedule (on optax)."""

    name: str = "sgd"  # sgd (momentum) or adamw
    learning_rate: float = 0.007
    schedule: str = "poly"  # poly, step or constant
    power: float = 0.9  # of poly: (1 - step / steps) ** power
    end_learning_rate: float = 0.0
    decay_steps: tuple[int, ...] = ()  # of step: where the rate is multiplied by decay_factor
    decay_factor: float = 0.1
    warmup_steps: int = 0
    momentum: float = 0.9
    nesterov: bool = False
    b2: float = 0.999  # of adamw; its b1 is momentum
    weight_decay: float = 1e-4  # of the kinds of parameters in `decayed`
    # "kernels", "depthwise" (kernels), "biases", a norm's "scales" and "shifts", "others"; or "all"
    decayed: tuple[str, ...] = ("kernels",)
    clip_norm: float = 0.0  # 0: no clipping by global norm
    multipliers: tuple[tuple[str, float], ...] = ()  # (pattern of the parameter path, factor)


@dataclasses.dataclass
class Train:
    """The loop."""

    steps: int = 30_000
    seed: int = 0
    log_every: int = 50
    eval_every: int = 1_000  # 0: only at the end
    checkpoint_every: int = 1_000
    keep: int = 3  # checkpoints kept
    accumulate: int = 1  # micro-batches a step
    ema_decay: float = 0.0  # 0: no average of the parameters is kept
    init_from: str = ""  # a run, a converted file or a weight file; see jaxseg/training/start.py
    init_partial: bool = False  # of a related model: take what both have, initialise the rest
    rows: int = 1  # devices over which the height of an image is split
    shard_params: bool = False  # parameters, averages, optimiser's state spread over the data axis
    heartbeat_timeout: float = 100.0  # seconds without a sign of another process; then the run ends
    pictures: int = 4  # predictions drawn for TensorBoard at each evaluation
    compile_cache: str = "~/.cache/jaxseg/xla"  # "": none


@dataclasses.dataclass
class Eval:
    """The protocol of evaluation and prediction."""

    batch_size: int = 8
    size: tuple[int, int] = (0, 0)  # images are padded to this; (0, 0): the largest of the split
    output_stride: int = 0  # 0: that of training
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    rotations: int = 1  # views rotated by multiples of 360 / rotations degrees
    # What is averaged over views: "probabilities"; "logits": the softmax of the logits' sum of a
    # view and its mirror image (PSPNet); "exp": exp of that sum (EncNet). "max": the highest logits
    # of all views instead (DeepLab v2).
    fusion: str = "probabilities"
    long_side: int = 0  # that each image is brought to, times the scale; 0: the frame is scaled
    short_side: int = (
        0  # images whose shorter side is below this are enlarged to it, times the scale
    )
    sliding: bool = False  # crops of crop_size instead of whole images
    crop_size: tuple[int, int] = (513, 513)
    stride: float = 2 / 3  # of the sliding window, as a share of what is kept of a crop
    margin: int = 0  # pixels around each crop, or image, that are seen and not kept
    border: str = "mean"  # beyond the image: the mean colour, or "mirror"
    crf: str = ""  # none; a name of postprocess.crf.PARAMETERS, or "w1,alpha,beta,w2,gamma,steps"
    crf_filter: str = "lattice"  # or "exact", for small images
    crf_normalization: str = "per_pixel"  # DeepLab's; "symmetric" (pydensecrf's) or "none"
    boundary: bool = False  # trimap curve, boundary IoU and boundary F as well
    hausdorff: bool = False  # with them the Hausdorff distance, which is slow
    calibration: bool = False  # calibration error, and of two classes the area under the ROC curve
    use_ema: bool = True  # when an average was kept
    examples: int = 0  # 0: all of the split


@dataclasses.dataclass
class Experiment:
    """Everything that decides the outcome of a run."""

    model: nn.Module
    data: Data = dataclasses.field(default_factory=Data)
    loss: Loss = dataclasses.field(default_factory=Loss)
    optim: Optim = dataclasses.field(default_factory=Optim)
    train: Train = dataclasses.field(default_factory=Train)
    eval: Eval = dataclasses.field(default_factory=Eval)

    def lock(self) -> None:
        """Gives every part values of its own; ml_collections calls it before it sets any by flag.

        It sets them in place: in a `Norm` that the head shares with the backbone, or that is the
        default of a class, a flag for one would change all.
        """
        for field in fields_of(self):
            setattr(self, field.name, _own(getattr(self, field.name)))


def fields_of(node: Any) -> list[dataclasses.Field]:
    """The settable fields of a dataclass, linen module or class of these, without linen's own."""
    cls = node if isinstance(node, type) else type(node)
    hidden = {"parent", "name"} if issubclass(cls, nn.Module) else set()
    return [f for f in dataclasses.fields(node) if f.init and f.name not in hidden]


def _own(node: Any) -> Any:
    """A copy of a config tree that shares no part with it, or with itself."""
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node
    parts = {f.name: _own(getattr(node, f.name)) for f in fields_of(node)}
    if isinstance(node, nn.Module):
        return node.clone(**parts)
    return dataclasses.replace(node, **parts)


def with_fields(module: nn.Module, values: Mapping[str, Any]) -> nn.Module:
    """The module with fields set in it, and in every module that it holds, where they have them.

    with_fields(model, {"compute": PLAIN}) is the model in plain forms throughout.
    """
    changes: dict[str, Any] = {}
    for field in fields_of(module):
        value = getattr(module, field.name)
        if field.name in values:
            changes[field.name] = values[field.name]
        elif isinstance(value, nn.Module):
            changes[field.name] = with_fields(value, values)
    return module.clone(**changes)


def to_dict(node: Any) -> Any:
    """A config tree as JSON values; each dataclass names its class under "class"."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        cls = type(node)
        values = {f.name: to_dict(getattr(node, f.name)) for f in fields_of(node)}
        return {"class": f"{cls.__module__}:{cls.__qualname__}"} | values
    if isinstance(node, tuple | list):
        return [to_dict(value) for value in node]
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(
        f"{node!r} cannot stand in a config: only numbers, strings, tuples and dataclasses can"
    )


def from_dict(values: Any) -> Any:
    """The inverse of `to_dict`.

    A stored config is data: reading it imports nothing but this package's own models, and makes
    nothing but their configs (docs/safety.md). Names of an older version are read by the table of
    `jaxseg.renamed`. What it did not know is not in its configs: such a field gets its default, and
    a warning names it.

    Raises:
      ValueError: a class or a field that this version of the code does not have, a class that a
        config may not name, or a field that cannot be left out; it is named.
    """
    return _from_dict(values, 0)


def _from_dict(values: Any, depth: int, default: Any = dataclasses.MISSING) -> Any:
    """`default`: the part that its owner has by default, whose fields stand for missing ones."""
    if depth > _DEEPEST:
        raise ValueError(f"its parts are nested more than {_DEEPEST} deep")
    if isinstance(values, list):
        return tuple(_from_dict(value, depth + 1) for value in values)
    if not isinstance(values, Mapping):
        return values
    values = renamed.part(values)
    cls = _class_of(values)
    fields = {f.name: f for f in fields_of(cls)}
    given = {
        name: _from_dict(value, depth + 1, fields[name].default if name in fields else None)
        for name, value in values.items()
        if name != "class"
    }
    if unknown := sorted(set(given) - set(fields)):
        raise ValueError(
            f"{cls.__name__} has no field {', '.join(unknown)}: "
            "the config was written by another version of jaxseg"
        )
    filled: dict[str, Any] = {}
    for name in [name for name in fields if name not in given]:
        value, factory = fields[name].default, fields[name].default_factory
        if type(default) is cls:
            value = getattr(default, name)
        elif factory is not dataclasses.MISSING:
            value = factory()
        if value is dataclasses.MISSING:
            raise ValueError(
                f"{cls.__name__} needs the field {name}, which the config lacks: "
                "it was written by another version of jaxseg"
            )
        _log.warning(
            "the config lacks %s.%s, as one of an older version: its default %.60r is taken",
            *(cls.__name__, name, value),
        )
        filled[name] = value
    for name, value in given.items():
        kind = _part(fields[name].type)
        if kind is not None and not isinstance(value, kind):
            raise ValueError(f"{cls.__name__}.{name} is {str(value)[:60]!r}, not a {kind.__name__}")
    return cls(**filled, **given)


def _part(kind: Any) -> type | None:
    """The annotated kind where it is that of a part, a dataclass or a module; None: a value's."""
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, nn.Module)):
        return kind
    return None


def _class_of(values: Mapping[str, Any]) -> type:
    """The dataclass that a part of a config names."""
    named = values.get("class")
    if not isinstance(named, str) or not re.fullmatch(r"[\w.]+:[\w.]+", named):
        raise ValueError(f"a part names no class, as MODULE:NAME: {str(dict(values))[:80]!r}")
    module, _, name = named.partition(":")
    if _ROOMS.fullmatch(module):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"this code has no {module}.{name}: {error}") from error
    elif module not in sys.modules:
        raise ValueError(
            f"the class {named[:200]!r} is not one of this package, and a stored config imports "
            "no other code: give --config=FILE with the experiment that defines it"
        )
    cls = vars(sys.modules[module]).get(name)
    if cls is None:
        hint = "" if _ROOMS.fullmatch(module) else ": give --config=FILE, which defines it"
        raise ValueError(f"this code has no {module}.{name}{hint}")
    if not _may_be_named(cls, module):
        raise ValueError(f"{module}.{name} is not a part of a config")
    return cls


def foreign_classes(node: Any) -> list[str]:
    """The classes in a config tree that are not this package's, which a stored one may not name."""
    if isinstance(node, tuple | list):
        return [name for value in node for name in foreign_classes(value)]
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return []
    cls = type(node)
    own = [] if _ROOMS.fullmatch(cls.__module__) else [f"{cls.__module__}:{cls.__qualname__}"]
    return own + [n for f in fields_of(node) for n in foreign_classes(getattr(node, f.name))]


def _may_be_named(cls: Any, module: str) -> bool:
    """Whether a config may hold instances of a class that is found in a loaded module.

    A linen module does nothing when it is made. Other dataclasses may be this package's, or those
    of an experiment that is loaded already; not those of Python or of installed packages.
    """
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls) or cls.__module__ != module:
        return False
    if _ROOMS.fullmatch(module) or issubclass(cls, nn.Module):
        return True
    if module.partition(".")[0] in ("jaxseg", "launch"):
        return False
    file = getattr(sys.modules[module], "__file__", None)
    installed = (sysconfig.get_path("stdlib"), *site.getsitepackages(), site.getusersitepackages())
    return file is not None and not file.startswith(installed)


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each field of a config tree as ("optim.learning_rate", 0.007), classes included."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        if isinstance(node, nn.Module):
            yield f"{prefix}.class" if prefix else "class", type(node).__name__
        for field in fields_of(node):
            path = f"{prefix}.{field.name}" if prefix else field.name
            yield from flatten(getattr(node, field.name), path)
    else:
        yield prefix, node
