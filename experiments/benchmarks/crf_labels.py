r"""How well labels of the lattice and pydensecrf2 agree, and which is closer to the exact sum.

    python -m experiments.benchmarks.crf_labels --config=experiments/deeplab_v3/google_voc.py \
        --weights=deeplabv3_257_mv_gpu.tflite --output=experiments/results/crf_labels.json

Both process whole images of the evaluation split, with pydensecrf's symmetric normalisation. The
exact sum takes minutes for one image, so it is computed on a crop of each, the one in which the two
differ most, and all three process that crop again. Both lattices are approximations: see
jaxseg.postprocess.permutohedral. Needs pydensecrf2 (requirements/other_libraries.txt).
"""

import dataclasses
import functools
import pathlib
import sys
from typing import Any

import numpy as np
from absl import app, flags
from ml_collections import config_flags

from experiments.benchmarks import crf_peer, crf_unaries, timing
from jaxseg.cli import command_line
from jaxseg.data import loader
from jaxseg.postprocess import crf
from jaxseg.progress import over
from jaxseg.workdir import restore, same_data

_CONFIG = config_flags.DEFINE_config_file("config", None, "An experiment file.")
_WEIGHTS = flags.DEFINE_string("weights", None, "A file of trained weights.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Alternatively, a run folder with a checkpoint.")
_PARAMETERS = flags.DEFINE_enum("parameters", "deeplab_v2", list(crf.PARAMETERS), "Which.")
_IMAGES = flags.DEFINE_integer("images", 20, "Number of images, spread evenly over the split.", 1)
_CROP = flags.DEFINE_integer("crop", 128, "Height and width for the exact sum.", 1)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")


def _compare(unary: crf_unaries.Unary, parameters: crf.CRFParameters) -> dict[str, Any]:
    """Shares of pixels and mean |Q - Q'| of one image."""
    logits, image, size = unary.framed()
    field = functools.partial(crf.mean_field, parameters=parameters, normalization="symmetric")
    q = field(logits, image, filter="lattice", size=size)
    ours = np.asarray(q)[: size[0], : size[1]].argmax(-1)
    peer = crf_peer.mean_field(
        crf_peer.energies(unary.log_probabilities), unary.image, parameters
    ).argmax(-1)
    network = unary.log_probabilities.argmax(-1)
    window = crf_unaries.most_different(ours != peer, _CROP.value)
    logits, image = unary.log_probabilities[window], np.ascontiguousarray(unary.image[window])
    qs = {
        "exact": np.asarray(field(logits, image, filter="exact")),
        "lattice": np.asarray(field(logits, image, filter="lattice")),
        "pydensecrf2": crf_peer.mean_field(crf_peer.energies(logits), image, parameters),
    }
    labels = {name: q.argmax(-1) for name, q in qs.items()}
    differ = labels["lattice"] != labels["pydensecrf2"]
    crop: dict[str, Any] = {
        "pixels": differ.size,
        "differ": int(differ.sum()),
        "network_is_exact": float((logits.argmax(-1) == labels["exact"]).mean()),
    }
    for name in ("lattice", "pydensecrf2"):
        right = labels[name] == labels["exact"]
        crop[f"{name}_is_exact"] = float(right.mean())
        crop[f"{name}_is_exact_where_they_differ"] = int(right[differ].sum())
        crop[f"{name}_mean_difference_of_q"] = float(np.abs(qs[name] - qs["exact"]).mean())
    return {
        "name": unary.name,
        "equal": float((ours == peer).mean()),
        "changed_by_lattice": float((ours != network).mean()),
        "changed_by_pydensecrf2": float((peer != network).mean()),
        "crop": crop,
    }


def summary(images: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the images; where the two differ, shares of all pixels that differ."""
    crops = [image["crop"] for image in images]

    def mean(key: str, records: list[dict[str, Any]]) -> float:
        return float(np.mean([record[key] for record in records]))

    differ = sum(crop["differ"] for crop in crops)
    found = {"least_equal": min(image["equal"] for image in images)}
    for key in ("equal", "changed_by_lattice", "changed_by_pydensecrf2"):
        found[key] = mean(key, images)
    of_crops: dict[str, Any] = {"differ": differ / sum(crop["pixels"] for crop in crops)}
    for key in crops[0]:
        if key.endswith(("_is_exact", "_of_q")):
            of_crops[key] = mean(key, crops)
        elif key.endswith("_where_they_differ"):
            of_crops[key] = sum(crop[key] for crop in crops) / max(differ, 1)
    return found | {"crops": of_crops}


def _print(found: dict[str, Any]) -> None:
    for key, share in {**found, **{f"crops: {k}": s for k, s in found["crops"].items()}}.items():
        if key != "crops":
            print(f"{key.replace('_', ' '):50} {share:.4f}")


def main(arguments: list[str]) -> None:
    """Compares the labels, prints the shares and writes the record."""
    experiment = _CONFIG.value
    command_line.prepare_jax(experiment)
    workdir = pathlib.Path(_WORKDIR.value) if _WORKDIR.value else None
    source = loader.open_split(
        experiment.data.name, experiment.data.eval_split, experiment.data.data_dir
    )
    same_data.hold_evaluation(workdir, source, experiment.data, weights=_WEIGHTS.value)
    variables, _ = restore.restore(experiment, workdir, _WEIGHTS.value)
    unaries = crf_unaries.Unaries(experiment, variables, source)
    parameters = crf.PARAMETERS[_PARAMETERS.value]
    indices = crf_unaries.chosen(source, _IMAGES.value)
    images = [
        _compare(unary, parameters)
        for unary in over(unaries.of(indices), "compare", total=len(indices))
    ]
    found = summary(images)
    _print(found)
    if _OUTPUT.value:
        record = {
            "environment": timing.environment(),
            "data": experiment.data.name,
            "split": experiment.data.eval_split,
            "parameters": dataclasses.asdict(parameters),
            "crop": _CROP.value,
            "summary": found,
            "images": images,
        }
        timing.write(_OUTPUT.value, record)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, argv=sys.argv)
