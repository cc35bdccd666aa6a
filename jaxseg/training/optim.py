"""The papers' optimisers and learning-rate schedules, as chains of optax transforms."""

import math
import operator
import re
from collections.abc import Collection, Sequence
from typing import Any

import jax
import optax

from jaxseg import config
from jaxseg.checks.schedule import schedule_faults
from jaxseg.errors import together
from jaxseg.settings import bounds


def schedule(optim: config.Optim, steps: int) -> optax.Schedule:
    """The learning rate as a function of the number of updates already done.

    With base rate b, end rate e and u of U updates done since the warm-up:
      poly      (b - e) * (1 - u / U) ** power + e   (ParseNet; DeepLab v2, section 4.1)
      step      b * decay_factor ** (number of decay_steps <= updates done)
      constant  b
    During the warm-up the rate is b * (updates done + 1) / warmup_steps; poly starts counting after
    it, as in the official DeepLab code.

    Raises:
      ValueError: an unknown schedule or a value out of range; the field is named.
    """
    if found := bounds.faults(optim, "optim") or schedule_faults(optim, steps):
        raise ValueError(together(found))
    base = optim.learning_rate
    if optim.schedule == "poly":
        after = optax.polynomial_schedule(
            base, optim.end_learning_rate, optim.power, steps - optim.warmup_steps
        )
    elif optim.schedule == "step":
        at = {step - optim.warmup_steps: optim.decay_factor for step in optim.decay_steps}
        after = optax.piecewise_constant_schedule(base, at)
    else:
        after = optax.constant_schedule(base)
    if not optim.warmup_steps:
        return after
    warmup = optax.linear_schedule(base / optim.warmup_steps, base, max(optim.warmup_steps - 1, 1))
    return optax.join_schedules([warmup, after], [optim.warmup_steps])


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def kind_of(path: str, leaf: Any, paths: Collection[str]) -> str:
    """The kind of a parameter, one of `config.DECAYED`.

    Args:
      path: of the parameter, such as "backbone/stage1/unit1/conv1/kernel".
      leaf: the parameter or its shape.
      paths: of all parameters: a bias next to a scale is the shift of a norm.
    """
    module, _, name = path.rpartition("/")
    if name == "kernel":
        spatial = math.prod(leaf.shape[:-2])
        depthwise = len(leaf.shape) == 4 and leaf.shape[-2] == 1 and spatial > 1
        return "depthwise" if depthwise else "kernels"
    if name == "bias":
        return "shifts" if f"{module}/scale" in paths else "biases"
    return "scales" if name == "scale" else "others"


def decay_mask(params: Any, decayed: Sequence[str] = ("kernels",)) -> Any:
    """A tree like `params`: True where weight decay applies.

    By default kernels of convolutions and dense layers decay; biases, norms and depthwise kernels
    ([kh, kw, 1, C] with kh * kw > 1) do not, as in the official DeepLab code (slim's regularisers)
    and Caffe's prototxts (decay_mult 0). torch's SGD decays all of its parameters.

    Args:
      params: parameters or their shapes.
      decayed: kinds of `config.DECAYED`, or "all".
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    paths = {_path(keys) for keys, _ in flat}

    def decays(keys: Any, leaf: Any) -> bool:
        return "all" in decayed or kind_of(_path(keys), leaf, paths) in decayed

    return jax.tree_util.tree_map_with_path(decays, params)


def multiplier_faults(params: Any, multipliers: Sequence[tuple[str, float]]) -> list[str]:
    """Faults of the multipliers: patterns that match nothing or are repeated, invalid factors.

    Args:
      params: parameters or their shapes.
      multipliers: as for `learning_rate_factors`.
    """
    paths = [_path(keys) for keys, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    top = sorted({path.partition("/")[0] for path in paths})
    patterns = [pattern for pattern, _ in multipliers]
    found = []
    for pattern, factor in multipliers:
        try:
            matched = any(re.search(pattern, path) for path in paths)
        except re.error as error:
            found.append(f"optim.multipliers: {pattern!r} is not a regular expression: {error}")
            continue
        if not matched:
            found.append(
                f"optim.multipliers: no parameter path matches {pattern!r}; an example of a path "
                f"is {paths[0]}, and their first parts are {', '.join(top)}"
            )
        if factor < 0:
            found.append(
                f"optim.multipliers: the factor {factor} of {pattern!r} would increase the loss: "
                "it must be at least 0"
            )
    for pattern in dict.fromkeys(p for p in patterns if patterns.count(p) > 1):
        factors = [factor for p, factor in multipliers if p == pattern]
        found.append(
            f"optim.multipliers: {pattern!r} is given {len(factors)} times: give it once, with one "
            f"factor (their product is {math.prod(factors):g})"
        )
    if not found and not any(jax.tree.leaves(learning_rate_factors(params, multipliers))):
        found.append("optim.multipliers: every factor is 0, so nothing is learned: leave one out")
    return found


def learning_rate_factors(params: Any, multipliers: Sequence[tuple[str, float]]) -> Any:
    """A tree like `params` with the product of the factors whose patterns match the path.

    Args:
      params: parameters or their shapes.
      multipliers: (regular expression, factor) pairs; the expression is searched for in paths such
        as "backbone/stage1/unit1/conv1/kernel".
    """

    def factor(keys: Any, _: Any) -> float:
        path = _path(keys)
        return math.prod(by for pattern, by in multipliers if re.search(pattern, path))

    return jax.tree_util.tree_map_with_path(factor, params)


def build(
    optim: config.Optim, steps: int, params: Any
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimiser of an experiment and its learning rate.

    sgd, as in Caffe, torch and TensorFlow (d is 0 where `decay_mask` is False):
      g = clip(gradient) + d * p;  v = momentum * v + g;  p = p - rate * factor * v
    adamw (Loshchilov and Hutter 2019, algorithm 2, the decay scaled by the rate as in torch):
      p = p - rate * factor * (adam(clip(gradient)) + d * p)

    Args:
      optim: the settings.
      steps: of the whole run.
      params: parameters or their shapes.

    Returns:
      The optax transformation, and the schedule (updates done -> rate, before factors).

    Raises:
      ValueError: a setting that is unknown, out of range, or matches no parameter.
    """
    rate = schedule(optim, steps)
    chain = []
    if optim.clip_norm > 0:
        chain.append(optax.clip_by_global_norm(optim.clip_norm))
    decay = optax.add_decayed_weights(optim.weight_decay, decay_mask(params, optim.decayed))
    if optim.name == "sgd":
        chain += [decay, optax.trace(optim.momentum, optim.nesterov)]
    elif optim.name == "adamw":
        chain += [optax.scale_by_adam(optim.momentum, optim.b2), decay]
    else:
        raise ValueError(f"optim.name={optim.name}: sgd or adamw")
    chain.append(optax.scale_by_learning_rate(rate))
    if optim.multipliers:
        if found := multiplier_faults(params, optim.multipliers):
            raise ValueError(together(found))
        factors = learning_rate_factors(params, optim.multipliers)
        chain.append(
            optax.stateless(lambda updates, _: jax.tree.map(operator.mul, updates, factors))
        )
    return optax.chain(*chain), rate
