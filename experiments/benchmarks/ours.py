"""jaxseg as a contender: the training step of `jaxseg.train`, or a forward pass."""

import dataclasses
import functools
import os
import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.benchmarks import timing, work
from jaxseg import config, memory, step
from jaxseg.inference import normalise
from jaxseg.models.deeplab_v3 import smp_deeplab_v3, torchvision_deeplab_v3
from jaxseg.models.deeplab_v3_plus import smp_deeplab_v3_plus


def _with(module: nn.Module, **values: Any) -> nn.Module:
    """The module with fields set in it and in all modules that it holds, where they have them."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name, None)
        if field.name in values:
            changes[field.name] = values[field.name]
        elif isinstance(value, nn.Module) and field.name != "parent":
            changes[field.name] = _with(value, **values)
    return module.clone(**changes)


def model(given: work.Work) -> nn.Module:
    """The network that equals the peers' in values and parameters."""
    built: nn.Module = {
        "v3": lambda: smp_deeplab_v3(50, work.NUM_CLASSES, 16, (6, 12, 18)),
        "v3_101": lambda: smp_deeplab_v3(101, work.NUM_CLASSES, 16, (6, 12, 18)),
        "v3_plus": lambda: smp_deeplab_v3_plus(50, work.NUM_CLASSES, 16, (6, 12, 18)),
        "v3_stride8": lambda: torchvision_deeplab_v3(50, work.NUM_CLASSES, aux=False),
    }[given.model]()
    return _with(built, form=given.variant or "auto", dtype=given.dtype)


def main() -> None:
    """Builds the step and serves it."""
    given = work.from_arguments()
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    experiment = config.Experiment(
        model=model(given),
        data=config.Data(batch_size=given.batch, crop_size=(given.size, given.size)),
        optim=config.Optim(name="sgd", learning_rate=1e-3, schedule="constant"),
    )
    images, labels = work.batch_of(given)
    batch = jax.device_put({"image": images, "label": labels})
    optimizer, rate = step.make_optimizer(experiment)
    state = jax.jit(functools.partial(step.init_state, experiment, optimizer))()
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    train = jax.jit(step.make_train_step(experiment, optimizer, rate), donate_argnums=0)

    @jax.jit
    def infer(variables: Any, image: jax.Array) -> Any:
        view = normalise(image, experiment.data.mean, experiment.data.std)
        return experiment.model.apply(variables, view, train=False)

    variables = {"params": state.params, "batch_stats": state.batch_stats}
    if given.step == "train":
        compiled = train.lower(state, batch).compile()
    else:
        compiled = infer.lower(variables, batch["image"]).compile()
    cost = compiled.cost_analysis() or {}

    def train_once() -> None:
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    def infer_once() -> None:
        jax.block_until_ready(compiled(variables, batch["image"]))

    timing.serve(
        train_once if given.step == "train" else infer_once,
        {"parameters": count, "flops": cost.get("flops"), "jax": jax.__version__},
    )


def matrix_peak(dtype: str, size: int = 8192, repeats: int = 20) -> float:
    """Measured floating-point operations a second of a square matrix product on this device."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: a @ b)
    product(a, a).block_until_ready()
    start = time.perf_counter()
    result = a
    for _ in range(repeats):
        result = product(result, a)
    result.block_until_ready()
    return 2 * size**3 * repeats / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
