"""The effective receptive field of a model, before and after training.

    python -m experiments.analysis.effective_field --workdir=runs/quickstart --output=runs/analysis
    python -m experiments.analysis.effective_field --config=experiments/deeplab_v3/voc.py \
        --weights=deeplab_v3.npz --images=8 --size=257,257 --output=runs/analysis
    python -m experiments.analysis.effective_field --config=experiments/unet/shapes.py --noise \
        --output=runs/analysis

Gradients of the logits at the centre over images of the eval split, or over noise. Before training
means the initial weights of train.seed, without those of train.init_from. With neither a run folder
nor --weights only that is shown. Writes effective_field.json and effective_field.png.
"""

import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.analysis import command, energy, growth, pictures
from jaxseg import config
from jaxseg.data import loader
from jaxseg.pixels import normalise
from jaxseg.training import step
from jaxseg.workdir import restore

_WEIGHTS = flags.DEFINE_string("weights", None, "A file of trained weights, not a run's.")
_IMAGES = flags.DEFINE_integer("images", 8, "How many, evenly over the split.", 1)
_NOISE = flags.DEFINE_bool("noise", False, "Noise of deviation 1 instead of images.")


def _images(experiment: config.Experiment, size: tuple[int, int]) -> np.ndarray:
    """float32 [N, H, W, 3], normalised: the middle of each image, zeros where it is smaller."""
    if _NOISE.value:
        rng = np.random.default_rng(0)
        return rng.standard_normal((_IMAGES.value, *size, 3), np.float32)
    data = experiment.data
    source = loader.open_split(data.name, data.eval_split, data.data_dir)
    count = min(_IMAGES.value, len(source))
    found = [source[k * len(source) // count]["image"] for k in range(count)]
    return np.stack(
        [
            energy.centred(
                np.asarray(normalise(x[None], data.normalisation)[0]),
                size,
            )
            for x in found
        ]
    )


def _before(experiment: config.Experiment) -> tuple[dict[str, Any], list[str]]:
    variables = jax.jit(lambda: step.init_variables(experiment)[1])()
    params, replaced = energy.with_random_zeros(variables["params"])
    return {**variables, "params": params}, replaced


def _run() -> None:
    experiment = command.experiment()
    size = command.size(experiment)
    images = _images(experiment, size)
    output = growth.output_layer(experiment.model, size)
    before, replaced = _before(experiment)
    states = {"before training": before}
    workdir = pathlib.Path(command.WORKDIR.value) if command.WORKDIR.value else None
    if workdir or _WEIGHTS.value:
        states["after training"], _ = restore.restore(experiment, workdir, _WEIGHTS.value)
    maps, extents = {}, {}
    for name, variables in states.items():
        maps[name] = energy.gradient_energy(experiment.model, variables, images)
        extents[name] = energy.extent(maps[name], output.field, whole=output.whole)
        found = energy.to_json(extents[name])
        radii = ", ".join(f"{share} within {r:.1f}" for share, r in found["radius"].items())
        ratio = found["ratio_to_theoretical"]["95%"]
        cut = ", which the image cuts off" if extents[name].cut else ""
        print(f"{name}: {radii} pixels; 95% over theoretical {output.field}{cut}: {ratio:.2f}")
    numbers = {
        "model": type(experiment.model).__name__,
        "images": "noise"
        if _NOISE.value
        else f"{experiment.data.name} {experiment.data.eval_split}",
        "count": len(images),
        "kernels_of_zeros_made_random": replaced,
        "states": {name: energy.to_json(found) for name, found in extents.items()},
    }
    command.write("effective_field", numbers, pictures.effective(maps, extents))


if __name__ == "__main__":
    command.start(_run)
