"""Evaluation: a split and a protocol in, one confusion matrix and a number for each image out.

    python -m jaxseg.main --mode=evaluate --workdir=runs/NAME --config.eval.output_stride=8

writes eval/TAG.json, eval/TAG.npz (the counts of each image: jaxseg.per_image) and
eval/TAG/{best,worst}_N_NAME.png into the run folder; TAG names the split and the protocol. Scores
of a whole set are never held: see jaxseg.inference for the bound, which is that of one batch. Only
counts [B, K, K] come back from the device.
"""

import collections
import functools
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from jaxseg import config, distributed, log, per_image, results, trained
from jaxseg.data import loader, transforms
from jaxseg.environment import environment
from jaxseg.inference import Color, at_output_stride, make_predictions, make_probabilities
from jaxseg.metrics import confusion_matrix
from jaxseg.results import Evaluation
from jaxseg.types import Array, ArrayLike, Variables

__all__ = ["Evaluation", "at_output_stride", "evaluate", "make_probabilities", "run"]

_AHEAD = 2  # batches given to the device before the oldest one's counts are waited for
_NAMED = 5  # images named in an error
_PICTURES = 4  # best and worst ones drawn, of each


@functools.partial(jax.jit, static_argnames=("num_classes", "mesh"))
def _count(
    labels: Array,
    predictions: Array,
    finite: Array,
    index: Array,
    *,
    num_classes: int,
    mesh: Mesh | None,
) -> tuple[Array, Array, Array]:
    """One confusion matrix per image, int32 [B, K, K], held by every process when done."""

    def of_image(label: Array, prediction: Array) -> Array:
        return confusion_matrix(label[None], prediction[None], num_classes)

    result = jax.vmap(of_image)(labels, predictions), finite, index
    if mesh is None:
        return result
    return jax.lax.with_sharding_constraint(result, distributed.replicated(mesh))


class _Tally:
    """The sums on the host: int64, because int32 ends before the pixels of a large set."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.images: dict[int, tuple[float, float]] = {}  # index -> (miou, pixel accuracy)
        self.entries: dict[int, per_image.Entries] = {}  # index -> of `per_image.entries`
        self.broken: list[int] = []  # images with scores that are not finite

    def add(self, counts: Array, finite: Array, index: Array) -> int:
        """Takes one batch of `_count`; how many images were in it, fillers aside."""
        before = len(self.images)
        batch = zip(*map(np.asarray, (counts, finite, index)), strict=True)
        for confusion, is_finite, i in batch:
            if i < 0:
                continue
            self.confusion += confusion
            self.images[int(i)] = _image_numbers(confusion.astype(np.int64))
            self.entries[int(i)] = per_image.entries(confusion)
            if not is_finite:
                self.broken.append(int(i))
        return len(self.images) - before

    def refuse_broken(self, source: loader.Source) -> None:
        """Stops an evaluation in which any score was not finite."""
        if not self.broken:
            return
        names = [_name(source, i) for i in sorted(self.broken)[:_NAMED]]
        more = ", ..." if len(self.broken) > _NAMED else ""
        raise ValueError(
            "the model's scores are not finite (NaN or infinite) on "
            f"{len(self.broken)} of {len(self.images)} images: {', '.join(names)}{more}"
        )


def _image_numbers(confusion: np.ndarray) -> tuple[float, float]:
    """(mIoU over the classes present in the image's truth, pixel accuracy) of one image [K, K]."""
    hits, truth = np.diagonal(confusion), confusion.sum(axis=1)
    present = truth > 0
    if not present.any():
        return math.nan, math.nan
    union = truth + confusion.sum(axis=0) - hits
    return float(np.mean(hits[present] / union[present])), float(hits.sum() / truth.sum())


def _put(batch: Mapping[str, np.ndarray], mesh: Mesh | None) -> dict[str, Array]:
    wanted = {name: np.asarray(batch[name]) for name in ("image", "label")}
    index = np.asarray(batch["index"], np.int32)
    if mesh is None:
        return jax.device_put(wanted | {"index": index})
    rows = NamedSharding(mesh, PartitionSpec("data"))
    return distributed.put_batch(wanted, mesh) | {
        "index": jax.make_array_from_process_local_data(rows, index)
    }


def evaluate(
    model: nn.Module,
    variables: Variables,
    source: loader.Source,
    *,
    protocol: config.Eval,
    mean: Color,
    std: Color,
    threads: int = 8,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> Evaluation:
    """Predicts every image of a split and counts its valid pixels against the truth.

    The result does not depend on batch size, on devices, on processes or on the filling up of the
    last batch; with several processes every one of them returns the whole result.

    Args:
      model: gives "logits" [B, H, W, K].
      variables: {"params", "batch_stats"}.
      source: the split; see `loader.open_split`.
      protocol: of the evaluation; its batch size is rounded up to what the mesh can share out.
      mean: of uint8 RGB, also the colour that images are filled up with.
      std: of uint8 RGB.
      threads: that read images, in this process.
      mesh: of `distributed.make_mesh`; None: this process does all of it, on one device.
      progress: show a bar with rate and remaining time.

    Raises:
      ValueError: scores that are not finite (the images are named), a class count that is not the
        data set's, a protocol without meaning, an empty split.
    """
    started = time.monotonic()
    num_classes = source.labels.num_classes
    predict = make_predictions(model, protocol, mean, std, num_classes)
    total = min(len(source), protocol.examples or len(source))
    if total == 0:
        raise ValueError("the split to evaluate holds no image")
    batches = _batches(source, protocol, mean, total, threads, mesh)
    variables = jax.device_put(variables, distributed.replicated(mesh) if mesh else None)
    tally = _Tally(num_classes)
    pending: collections.deque[tuple[Array, Array, Array]] = collections.deque()
    hidden = not progress or not distributed.is_main()
    with tqdm(total=total, unit="image", desc="evaluate", disable=hidden, leave=False) as bar:
        for batch in batches:
            put = _put(batch, mesh)
            labels, finite = predict(variables, put["image"])
            pending.append(
                _count(
                    put["label"], labels, finite, put["index"], num_classes=num_classes, mesh=mesh
                )
            )
            if len(pending) > _AHEAD:
                bar.update(tally.add(*pending.popleft()))
            if tally.broken:
                break  # every process has read the same counts, so all stop here
        while pending:
            bar.update(tally.add(*pending.popleft()))
    tally.refuse_broken(source)
    images = [
        {"index": i, "name": _name(source, i), "miou": miou, "pixel_accuracy": accuracy}
        for i, (miou, accuracy) in sorted(tally.images.items())
    ]
    names = [str(image["name"]) for image in images]
    kept = (tally.entries[i] for i in sorted(tally.entries))
    counts = per_image.gather(names, num_classes, kept)
    return Evaluation(tally.confusion, images, time.monotonic() - started, counts)


def frame_of(source: loader.Source, protocol: config.Eval) -> tuple[int, int]:
    """(height, width) that images are padded to."""
    height, width = protocol.size if any(protocol.size) else source.largest
    return height, width


def predict_example(
    predict: Callable[[Variables, ArrayLike], tuple[Array, Array]],
    variables: Variables,
    example: Mapping[str, Any],
    frame: tuple[int, int],
    mean: Color,
) -> np.ndarray:
    """Train ids uint8 [H, W] of one example of a split, padded to `frame` as in an evaluation."""
    height, width = example["label"].shape
    padded, _ = transforms.pad_to(example["image"], example["label"], frame, mean)
    ids, _ = predict(variables, padded[None])
    return np.asarray(ids[0])[:height, :width].astype(np.uint8)


def _name(source: loader.Source, index: int) -> str:
    """The name of an example, without decoding its image where the source can."""
    read = source.encoded if isinstance(source, loader.Source) else source.__getitem__
    return read(index)["name"]


def _batches(
    source: loader.Source,
    protocol: config.Eval,
    mean: Color,
    total: int,
    threads: int,
    mesh: Mesh | None,
) -> Iterator[dict[str, np.ndarray]]:
    """What this process reads of each batch; all of it without a mesh."""
    size = frame_of(source, protocol)
    groups = mesh.shape["data"] if mesh else 1
    batch_size = math.ceil(min(protocol.batch_size, total) / groups) * groups
    if mesh:
        distributed.check_split(mesh, batch_size, size[0])
    return loader.eval_batches(
        source,
        batch_size=batch_size,
        size=size,
        pad_value=mean,
        process_index=jax.process_index() if mesh else 0,
        process_count=jax.process_count() if mesh else 1,
        limit=protocol.examples,
        threads=threads,
    )


def run(
    experiment: config.Experiment,
    workdir: pathlib.Path | str,
    *,
    weights: str | None = None,
    progress: bool = True,
) -> Evaluation:
    """`--mode=evaluate`: a run's newest checkpoint, or a weight file, on the evaluation split.

    Writes eval/TAG.json and pictures into the run folder and prints a table.

    Args:
      experiment: its `eval` is the protocol, which may differ from that of the run's own config.
      workdir: the run folder; with `weights` it may be new.
      weights: a file of trained weights, read instead of a checkpoint.
      progress: show a bar.

    Raises:
      FileNotFoundError: no checkpoint, no weight file, no prepared data.
      ValueError: weights that do not fit the model; see also `evaluate`.
    """
    workdir, data, protocol = pathlib.Path(workdir), experiment.data, experiment.eval
    source = loader.open_split(data.name, data.eval_split, data.data_dir)
    variables, step = trained.restore(experiment, workdir, weights)
    evaluation = evaluate(
        experiment.model,
        variables,
        source,
        protocol=protocol,
        mean=data.mean,
        std=data.std,
        threads=data.threads,
        mesh=distributed.make_mesh(experiment.train.rows),
        progress=progress,
    )
    if not distributed.is_main():
        return evaluation
    name = results.tag(data.eval_split, protocol)
    folder = workdir / "eval"
    folder.mkdir(parents=True, exist_ok=True)
    if not (workdir / "config.json").exists():
        log.write_json(workdir / "config.json", config.to_dict(experiment))
    record = {
        "step": step,
        "weights": weights,
        "data": data.name,
        "split": data.eval_split,
        "protocol": config.to_dict(protocol),
        "environment": environment(),
    }
    record |= results.to_json(evaluation, source.labels)
    if evaluation.per_image:
        per_image.write(folder / f"{name}.npz", evaluation.per_image)
    log.write_json(folder / f"{name}.json", record)
    _draw(folder / name, evaluation, experiment, variables, source)
    interval = record["metrics"]["miou_interval"]
    print(results.table(evaluation.confusion, source.labels.names, interval))
    print(
        f"\n{weights or f'step {step}'} on {len(evaluation.images)} images of {data.name} "
        f"{data.eval_split} in {evaluation.seconds:.1f} s; see {folder / name}.json, and "
        f"{folder / name} for the best and worst images"
    )
    return evaluation


def _draw(
    folder: pathlib.Path,
    evaluation: Evaluation,
    experiment: config.Experiment,
    variables: Variables,
    source: loader.Source,
) -> None:
    """Predicts the best and the worst images again, one by one, and writes their pictures."""
    data, protocol = experiment.data, experiment.eval
    predict = make_predictions(
        experiment.model, protocol, data.mean, data.std, source.labels.num_classes
    )
    variables = jax.device_put(variables)
    results.clear(folder)
    frame = frame_of(source, protocol)
    for kind, place, image in results.best_and_worst(evaluation.images, _PICTURES):
        example = source[image["index"]]
        results.write_picture(
            folder / results.picture_name(kind, place, image["name"]),
            example["image"],
            example["label"],
            predict_example(predict, variables, example, frame, data.mean),
            source.labels,
        )
