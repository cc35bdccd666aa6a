"""Warnings at the start of training about batch statistics that drift or come from one image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxseg import config
from jaxseg.shape_trace import trace_shapes
from jaxseg.training import optim

_NAMED = 2  # number of modules named in a line


def _paths(tree: Any) -> dict[str, Any]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(keys, simple=True, separator="/"): leaf for keys, leaf in flat}


def updated(experiment: config.Experiment) -> list[str]:
    """The paths of the norms whose running statistics a training step changes.

    The network is only traced: statistics that a frozen norm does not change come out as the same
    traced value that went in.
    """
    _, variables = trace_shapes(experiment.model, experiment.data.crop_size)
    statistics = variables.get("batch_stats", {})
    changed: set[str] = set()

    def step(params: Any, statistics: Any, images: Any) -> None:
        _, after = experiment.model.apply(
            {"params": params, "batch_stats": statistics},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        before, after = _paths(statistics), _paths(after.get("batch_stats", {}))
        changed.update(p.rpartition("/")[0] for p in after if after[p] is not before.get(p))

    images = jax.ShapeDtypeStruct((2, *experiment.data.crop_size, 3), jnp.float32)
    if statistics:
        jax.eval_shape(step, variables["params"], statistics, images)
    return sorted(changed)


def _flag(model: nn.Module, path: str) -> str:
    """The flag that freezes the norm at a path."""
    part = path.partition("/")[0]
    if hasattr(getattr(model, part, None), "norm"):
        return f"--config.model.{part}.norm.kind=frozen"
    return "--config.model.norm.kind=frozen"


def notices(experiment: config.Experiment) -> list[str]:
    """Warnings for the user; if none is needed, nothing is traced.

    A multiplier of 0 freezes the parameters of a norm but not its statistics, which follow the new
    data, so that the output of the frozen part changes from step to step. In a step of one image,
    batch norm uses the statistics of that image.
    """
    multipliers = experiment.optim.multipliers
    alone = experiment.data.batch_size // experiment.train.accumulate == 1
    if not alone and all(factor for _, factor in multipliers):
        return []
    lines, drifting = [], updated(experiment)
    _, variables = trace_shapes(experiment.model, experiment.data.crop_size)
    factors = _paths(optim.learning_rate_factors(variables["params"], multipliers))
    frozen = [
        path
        for path in drifting
        if (own := [f for p, f in factors.items() if p.startswith(f"{path}/")]) and not any(own)
    ]
    if frozen:
        named = ", ".join(frozen[:_NAMED]) + (", ..." if len(frozen) > _NAMED else "")
        flags = " ".join(dict.fromkeys(_flag(experiment.model, path) for path in frozen))
        lines.append(
            f"optim.multipliers freezes the parameters of {len(frozen)} norm(s) ({named}), but "
            "not their batch statistics, which follow the data: "
            f"{flags} freezes both"
        )
    if alone and drifting:
        flags = " ".join(dict.fromkeys(_flag(experiment.model, path) for path in drifting))
        each = "micro-batch" if experiment.train.accumulate > 1 else "step"
        lines.append(
            f"each {each} holds one image, so {len(drifting)} batch norm(s) use its own statistics:"
            f" {flags}, or norm.kind=group, or a larger --config.data.batch_size"
        )
    return lines
