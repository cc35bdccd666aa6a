"""jaxseg as a contender: the training step of `jaxseg.train`, or a forward pass."""

import dataclasses
import functools
import os
import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import processes, timing, torch_tables, work
from jaxseg import config
from jaxseg.backbones import xception
from jaxseg.backbones.resnet import ResNet
from jaxseg.inference.views import at_output_stride
from jaxseg.inspection.summary import summarize
from jaxseg.layers.compute import Compute
from jaxseg.models.compat import (
    smp_deeplab_v3,
    smp_deeplab_v3_plus,
    smp_unet,
    torchvision_deeplab_v3,
)
from jaxseg.models.pspnet import PSPNet
from jaxseg.models.segnet import SegNet
from jaxseg.pixels import normalise
from jaxseg.runtime import memory
from jaxseg.training import step
from jaxseg.weights import load

_PEAK_SIZE, _PEAK_REPEATS = 8192, 20


class ActivatedXception(xception.Xception):
    """Xception with DeepLab's low-level skips after ReLU, as in timm."""

    def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        """The endpoints of `Xception`."""
        ends = super().__call__(x, train=train)
        return {n: nn.relu(e) if n.endswith("_pointwise2") else e for n, e in ends.items()}


def model(given: work.Work) -> nn.Module:
    """The network that equals the peers' in values and parameters, without dropout."""
    if given.model == "v3_plus":
        built: nn.Module = smp_deeplab_v3_plus(given.depth, work.NUM_CLASSES, 16, work.ATROUS_RATES)
    elif given.model == "v3_plus_xception":
        backbone = ActivatedXception(depth=65, output_stride=16, norm=xception.NORM.with_decay(0.9))
        like = smp_deeplab_v3_plus(given.depth, work.NUM_CLASSES, 16, work.ATROUS_RATES)
        decoder = dataclasses.replace(like.decoder, low_level="entry2_pointwise2")
        built = like.clone(backbone=backbone, decoder=decoder)
    elif given.model == "unet":
        built = smp_unet(given.depth, work.NUM_CLASSES)
    elif given.model == "segnet":
        built = SegNet(work.NUM_CLASSES)
    elif given.model == "pspnet":
        # The rates of torchvision's ResNet.
        resnet = ResNet(depth=given.depth, output_stride=8)
        built = PSPNet(work.NUM_CLASSES, resnet, aux_features=0)
    elif given.model in ("v3_torchvision", "v3_stride8"):
        built = torchvision_deeplab_v3(given.depth, work.NUM_CLASSES, aux=False)
        if given.model == "v3_torchvision":
            built = at_output_stride(built, 16)
    else:
        built = smp_deeplab_v3(given.depth, work.NUM_CLASSES, 16, work.ATROUS_RATES)
    compute = Compute(given.dtype, given.variant or "auto")
    return config.with_fields(built, {"compute": compute, "dropout": 0.0})


def experiment_of(given: work.Work) -> config.Experiment:
    """The experiment that corresponds to the work."""
    return config.Experiment(
        model=model(given),
        data=config.Data(batch_size=given.batch, crop_size=(given.size, given.size)),
        optim=config.Optim(
            name="sgd",
            learning_rate=work.LEARNING_RATE,
            schedule="constant",
            momentum=work.MOMENTUM,
            weight_decay=work.WEIGHT_DECAY,
        ),
    )


def _compiled(function: Any, *arguments: Any) -> tuple[Any, dict[str, float]]:
    """The compiled function, and the CPU seconds of tracing and of compiling it."""
    results: list[Any] = []
    _, trace = timing.timed(lambda: results.append(function.lower(*arguments)))
    wall, cpu = timing.timed(lambda: results.append(results.pop().compile()))
    return results[0], {"trace_cpu": trace, "compile_cpu": cpu, "compile_wall": wall}


def main() -> None:
    """Builds the step and serves it."""
    given = work.from_arguments()
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    experiment = experiment_of(given)
    images, labels = work.batch_of(given)
    batch = jax.device_put({"image": images, "label": labels})
    optimizer, rate = step.make_optimizer(experiment)
    state = jax.jit(functools.partial(step.init_state, experiment, optimizer))()
    if given.weights:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        table = torch_tables.table_of(given.model, load.read(given.weights))
        values = load.load_variables(given.weights, variables, table)
        state = state.replace(**jax.tree.map(jnp.array, values))

    @jax.jit
    def infer(variables: Any, image: jax.Array) -> jax.Array:
        view = normalise(image, experiment.data.normalisation)
        outputs: Any = experiment.model.apply(variables, view, train=False)
        return outputs["logits"]

    variables = {"params": state.params, "batch_stats": state.batch_stats}
    if given.step == "train":
        train = jax.jit(step.make_train_step(experiment, optimizer, rate), donate_argnums=0)
        compiled, facts = _compiled(train, state, batch)
    else:
        compiled, facts = _compiled(infer, variables, batch["image"])

    def train_once() -> Any:
        nonlocal state
        state, metrics = jax.block_until_ready(compiled(state, batch))
        return metrics["cross_entropy"]

    def infer_once() -> Any:
        return jax.block_until_ready(compiled(variables, batch["image"]))

    training = given.step == "train"
    multiply_adds = summarize(experiment.model, (given.size, given.size)).multiply_adds
    processes.serve(
        train_once if training else infer_once,
        float if training else lambda logits: work.cross_entropy(np.asarray(logits), labels),
        facts
        | {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            # Of the convolutions, counting taps on padding; the backward pass costs twice as much.
            "flops": 2 * multiply_adds * given.batch * (3 if training else 1),
            "temporary_mb": compiled.memory_analysis().temp_size_in_bytes >> 20,
            "matrix_peak": matrix_peak(given.dtype) if jax.default_backend() != "cpu" else None,
            "threads": timing.cores(),
        },
    )


def matrix_peak(dtype: str) -> float:
    """Measured floating-point operations per second of a square matrix product on this device."""
    size = _PEAK_SIZE
    # Keep the values at unit scale: a device slows down less over zeros than over real work.
    a = jax.random.normal(jax.random.key(0), (size, size), dtype) / size**0.5
    product = jax.jit(lambda a, b: a @ b)
    result = product(a, a).block_until_ready()
    start = time.perf_counter()
    for _ in range(_PEAK_REPEATS):
        result = product(result, a)
    result.block_until_ready()
    return 2 * size**3 * _PEAK_REPEATS / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
