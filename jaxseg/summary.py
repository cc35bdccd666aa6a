"""`--mode=summary`: what each layer of a model is, sees and costs, before anything is computed.

    python -m jaxseg.main --mode=summary --config=experiments/deeplab_v3/voc.py --size=513,513

Multiply-adds are those of convolutions and matrix products for one image, a tap on padding counted
like any other: 77.19 G for DeepLab v3+ on ResNet-50 at 513 x 513. (The papers' figures for dense
atrous convolutions are larger by the padding of TensorFlow's space-to-batch.)
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import tabulate

from jaxseg import config
from jaxseg.inference.infer import at_output_stride, make_predictions
from jaxseg.inspection.layer_trace import Layer, trace
from jaxseg.layers.compute import PLAIN
from jaxseg.runtime.mesh import batch_sharding, check_split, make_mesh, with_shardings
from jaxseg.shape_trace import trace_shapes
from jaxseg.training.step import init_state, make_optimizer, make_train_step

_MEGABYTE = 1 << 20
_HEADS = ("layer", "kind", "rate", "stride", "sees", "output", "parameters", "multiply-adds")
_TEXT_COLUMNS = 2  # the first ones, flush left; numbers are flush right

Memory = dict[str, int]  # bytes: "arguments", "temporary", "peak"


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a model for one image of one size, in the order of computation."""

    size: tuple[int, int]
    layers: list[Layer]
    parameters: int
    multiply_adds: int


def summarize(model: nn.Module, size: tuple[int, int]) -> Summary:
    """Traces the plain form of a model; nothing is computed.

    Args:
      model: takes images [B, H, W, 3].
      size: (height, width) of the image.
    """
    layers, parameters = trace(config.with_fields(model, {"compute": PLAIN}), size)
    return Summary(size, layers, parameters, sum(layer.multiply_adds for layer in layers))


def to_json(summary: Summary) -> dict[str, Any]:
    """The summary as JSON values."""
    return dataclasses.asdict(summary)


def count(number: float) -> str:
    """1234 -> "1.23 k": three digits and a unit of 1000."""
    for unit in ("", " k", " M", " G"):
        if abs(number) < 1000 or unit == " G":
            break
        number /= 1000
    if not unit:
        return f"{number:.0f}"
    return f"{number:.{max(0, 2 - (number >= 10) - (number >= 100))}f}{unit}"


def _cells(layer: Layer) -> tuple[str, ...]:
    height, width, channels = layer.shape
    sees = "all" if layer.field is None else f"{layer.field}{'*' if layer.whole else ' '}"
    return (
        layer.path or "(model)",
        layer.kind,
        str(layer.rate) if layer.rate > 1 else "",
        "" if layer.stride is None else f"{layer.stride:g}",
        sees,
        f"{height} x {width} x {channels}",
        f"{layer.parameters:,}" if layer.parameters else "",
        count(layer.multiply_adds) if layer.multiply_adds else "",
    )


def table(summary: Summary) -> str:
    """The summary for a terminal, one aligned line a layer, totals below."""
    total = ("total", "", "", "", "", "", f"{summary.parameters:,}", count(summary.multiply_adds))
    rows = [*map(_cells, summary.layers), tabulate.SEPARATING_LINE, total]
    align = ["left" if i < _TEXT_COLUMNS else "right" for i in range(len(_HEADS))]
    return tabulate.tabulate(rows, _HEADS, "simple", colalign=align, disable_numparse=True)


_NOTES = """
stride: pixels of the image between two outputs. sees: the receptive field in pixels, from its first
to its last one; * and the whole image through a mean over the map; all: the whole image only.
parameters: with the bias and norm that follow. multiply-adds: for one image, taps on padding too.
"""


def step_memory(experiment: config.Experiment, size: tuple[int, int]) -> dict[str, Memory]:
    """Compiles the train and the eval step as they run here, for their memory on each device.

    The largest single view of the eval protocol is taken: views run one after the other.

    Args:
      experiment: gives model, batch sizes and protocol.
      size: (height, width) of training crops, and of images to evaluate unless eval.size is set.

    Returns:
      {"train step", "eval step"}: bytes of arguments, of temporary arrays, and in all.
    """
    data = dataclasses.replace(experiment.data, crop_size=size)
    experiment = dataclasses.replace(experiment, data=data)
    mesh = make_mesh(experiment.train.rows)
    spread = batch_sharding(mesh)

    def images(batch_size: int, frame: tuple[int, int], *channels: int) -> jax.ShapeDtypeStruct:
        check_split(mesh, batch_size, frame[0])
        return jax.ShapeDtypeStruct((batch_size, *frame, *channels), jnp.uint8, sharding=spread)

    optimizer, rate = make_optimizer(experiment)
    state = jax.eval_shape(functools.partial(init_state, experiment, optimizer))
    state = with_shardings(state, mesh, shard=False)
    batch = {"image": images(data.batch_size, size, 3), "label": images(data.batch_size, size)}
    if experiment.loss.boundary:
        batch["weight"] = batch["label"].update(dtype=jnp.float32)
    train_step = jax.jit(make_train_step(experiment, optimizer, rate), donate_argnums=0)

    protocol = experiment.eval
    view = dataclasses.replace(protocol, scales=(max(protocol.scales),), flip=False)
    outputs, variables = trace_shapes(experiment.model, size)
    classes = outputs["logits"].shape[-1]
    predict = make_predictions(experiment.model, view, data.normalisation, classes)
    frame = protocol.size if any(protocol.size) else size
    compiled = {
        "train step": train_step.lower(state, batch),
        "eval step": jax.jit(predict).lower(
            with_shardings(variables, mesh, shard=False), images(protocol.batch_size, frame, 3)
        ),
    }
    return {name: _memory(lowered.compile()) for name, lowered in compiled.items()}


def _memory(compiled: Any) -> Memory:
    found = compiled.memory_analysis()
    arguments, temporary = found.argument_size_in_bytes, found.temp_size_in_bytes
    # Donated arguments are overwritten by outputs: those bytes are in both numbers.
    new = found.output_size_in_bytes - found.alias_size_in_bytes
    return {"arguments": arguments, "temporary": temporary, "peak": arguments + temporary + new}


def describe(experiment: config.Experiment, size: Sequence[int], *, memory: bool = False) -> str:
    """The text of `--mode=summary`.

    Args:
      experiment: its model at the output stride of training; where eval.output_stride differs, the
        totals at that stride are added.
      size: (height, width) of the image.
      memory: also compile both steps (minutes for a large model) and tell their memory.

    Raises:
      ValueError: a size that is not two positive numbers.
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"--size={','.join(map(str, size))} must be height,width")
    height, width = size
    model = experiment.model
    summary = summarize(model, (height, width))
    title = f"{type(model).__name__}, one image of {height} x {width}"
    lines = [title, "", table(summary), _NOTES]
    if experiment.eval.output_stride:
        stride = experiment.eval.output_stride
        dense = summarize(at_output_stride(model, stride), (height, width))
        lines.append(f"evaluated at output stride {stride}: {count(dense.multiply_adds)}")
    if memory:
        sizes = (experiment.data.batch_size, experiment.eval.batch_size)
        found = step_memory(experiment, (height, width))
        for (name, part), batch_size in zip(found.items(), sizes, strict=True):
            peak, rest = (f"{n / _MEGABYTE:,.0f} MiB" for n in (part["peak"], part["temporary"]))
            lines.append(f"{name}, batch {batch_size}: {peak} a device, {rest} of it temporary")
    return "\n".join(lines).rstrip()
