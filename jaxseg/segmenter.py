"""A trained network for programs and notebooks, as returned by `jaxseg.load`.

    network = jaxseg.load("runs/quickstart")
    network.classes                                         # ("background", "circle", ...)
    ids = network.predict("street.jpg")                     # uint8 [H, W]
    ids = network.predict(images)                           # uint8 [B, H, W] of uint8 [B, H, W, 3]
    scores = network.predict("street.jpg", "deeplab_v3_multi", probabilities=True)
    network.evaluate(images, labels).miou

Files are read, padded and predicted by the same functions as on the command line, so the results
are those that `jaxseg predict` writes and `jaxseg evaluate` counts.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg import config, given, metrics, summary, tasks
from jaxseg.checks.experiment import examine, refuse
from jaxseg.cli import command_line, stored_config
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import mask_file
from jaxseg.detector import Detector
from jaxseg.errors import counted
from jaxseg.evaluation.split import evaluate
from jaxseg.given import Image, Path
from jaxseg.inference.predictor import framing_of, make_predictor
from jaxseg.opened import on_device, under
from jaxseg.training import class_count, preflight
from jaxseg.types import IGNORE, ArrayLike, Variables
from jaxseg.weights import load as weight_files
from jaxseg.workdir import data_identity, restore

Protocol = str | config.Eval | None


@dataclasses.dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network with everything that determines its predictions.

    Attributes:
      experiment: the network, the normalisation of images, and the protocol, `experiment.eval`.
      labels: names, colours and raw ids of the classes.
      variables: {"params", "batch_stats"}, as NumPy arrays.
      step: of the checkpoint; None for a weight file.
      source: the run folder and the weight file, one of which is None.
      placed: the variables on the device, with and without the average, once they are needed.
    """

    experiment: config.Experiment
    labels: LabelSpec
    variables: Variables
    step: int | None
    source: tuple[pathlib.Path | None, str | None]
    placed: dict[bool, Variables] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes, in the order of their ids."""
        return self.labels.names

    def predict(
        self,
        images: Image | Sequence[Image],
        protocol: Protocol = None,
        *,
        probabilities: bool = False,
    ) -> Any:
        """The class of each pixel, or the probabilities of all classes.

        Each image is predicted separately, in its own frame, so that the result does not depend on
        the others.

        Args:
          images: one image, a file or uint8 [H, W, 3]; a batch uint8 [B, H, W, 3]; or a list of
            files and images of any sizes.
          protocol: output stride, scales, flip and so on: a name of `jaxseg.inference.protocols`,
            an `Eval`, or None for the experiment's own.
          probabilities: return them instead of ids.

        Returns:
          For one image, train ids uint8 [H, W], or probabilities float32 [H, W, K]; for a batch,
          the same with a leading dimension B; for a list, a list of them.
          `jaxseg predict --probabilities` writes the float32 numbers as float16.

        Raises:
          FileNotFoundError: the file does not exist.
          ValueError: an invalid image; a file that cannot be read, which is named; an invalid
            protocol; scores that are not finite.
          MemoryError: the image is too large for the device.
        """
        if (several := given.several(images, axes=3)) is not None:
            each = [self.predict(one, protocol, probabilities=probabilities) for one in several]
            return each if isinstance(several, list | tuple) else np.stack(each)
        experiment = under(self, protocol)
        of_one = make_predictor(
            experiment.model,
            self.labels,
            experiment.eval,
            experiment.data.normalisation,
            framing_of(experiment),
            with_probabilities=probabilities,
        )
        pixels = given.pixels(images)
        try:
            ids, scores = of_one(on_device(self, experiment.eval.use_ema), pixels)
        except ValueError as error:
            raise ValueError(
                f"{images}: {error}" if given.is_path(images) else str(error)
            ) from error
        return scores if probabilities else ids

    def evaluate(
        self,
        images: Sequence[Image] | ArrayLike,
        labels: Sequence[Image] | ArrayLike,
        protocol: Protocol = None,
    ) -> metrics.Summary:
        """Counts every valid pixel of the images against the truth.

        Args:
          images: files and images uint8 [H, W, 3] of any sizes, or a batch uint8 [B, H, W, 3].
          labels: the truth of each image: train ids uint8 [H, W], 255 for void; or a mask file with
            raw ids, like those of the data set.
          protocol: see `predict`.

        Returns:
          mIoU, the IoU of each class and so on, from one confusion matrix over all images.

        Raises:
          ValueError: the numbers of images and labels differ, a label has another size than its
            image, or an id is not a class; see also `predict`.
        """
        experiment = under(self, protocol)
        pairs: Any = _Pairs(images, labels, self.labels)  # the parts of a `Source` that are read
        found = evaluate(
            experiment.model,
            on_device(self, experiment.eval.use_ema),
            pairs,
            protocol=experiment.eval,
            normalisation=experiment.data.normalisation,
            crop=experiment.data.crop_size,
            threads=experiment.data.threads,
            progress=False,
        )
        return metrics.summarize(found.confusion)

    def summary(self, size: tuple[int, int] | None = None) -> str:
        """A table of the stride, rate, receptive field, parameters and multiply-adds of each layer.

        Args:
          size: (height, width) of the image; None: the size of the training crops.
        """
        return summary.describe(self.experiment, size or self.experiment.data.crop_size)


class _Pairs(Sequence):
    """Images and their truth, in the form in which `evaluate` reads a split."""

    def __init__(
        self,
        images: Sequence[Image] | ArrayLike,
        truth: Sequence[Image] | ArrayLike,
        labels: LabelSpec,
    ) -> None:
        self._images, self._truth = given.several(images, axes=3), given.several(truth, axes=2)
        if self._images is None or self._truth is None:
            raise ValueError("images and labels must be lists or batches: [image], [label] for one")
        if len(self._images) != len(self._truth):
            count, other = len(self._images), len(self._truth)
            raise ValueError(f"{counted(count, 'image')} but {counted(other, 'label')}")
        self.labels = labels

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        one = self._images[index]
        name = str(one) if given.is_path(one) else f"image {index}"
        image, label = given.pixels(one), _train_ids(self._truth[index], self.labels, name)
        if label.shape != image.shape[:2]:
            raise ValueError(f"{name} is {image.shape[:2]}, its label {label.shape}")
        return {"image": image, "label": label, "name": name}


def _train_ids(truth: Any, labels: LabelSpec, name: str) -> np.ndarray:
    """The truth of an image, uint8 [H, W]."""
    if given.is_path(truth):
        raw = given.read(truth, lambda path: mask_file.read_mask(path)[0])
        return labels.encode(raw, str(truth))
    ids = np.asarray(truth)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"the label of {name} is {ids.dtype} {list(ids.shape)}, not ids [H, W]")
    if (wrong := ids[(ids != IGNORE) & ((ids < 0) | (ids >= labels.num_classes))]).size:
        raise ValueError(
            f"the label of {name} holds {wrong[0]}: train ids are 0 to {labels.num_classes - 1}, "
            f"and {IGNORE} for void"
        )
    return ids.astype(np.uint8)


def load(
    run_or_weights: Path,
    experiment: config.Experiment | Path | None = None,
    *,
    changed_data: bool = False,
) -> "Segmenter | Detector":
    """See `jaxseg.load`."""
    place = pathlib.Path(run_or_weights)
    of_run = (place / "config.json").is_file() or (place / "checkpoints").is_dir()
    if not of_run and not weight_files.is_file(place):
        what = "a folder without config.json" if place.is_dir() else "no such file or folder"
        raise FileNotFoundError(f"{place}: {what}; name a run folder or a weight file")
    if experiment is None and not of_run:
        raise ValueError(
            f"{place} holds only weights: pass the network as jaxseg.load(..., config=EXPERIMENT), "
            "an experiment file or an Experiment"
        )
    if experiment is None:
        experiment = stored_config.get_config(str(place))
    elif not isinstance(experiment, config.Experiment):
        experiment = command_line.read(experiment)
    faults, usable = examine(experiment, "predict")
    if usable is None:
        refuse(faults)
        raise AssertionError
    preflight.refuse_all(faults, usable, "predict")
    experiment = class_count.of_data(experiment)
    source = (place, None) if of_run else (None, str(place))
    labels = data_identity.labels_of(experiment, source[0], changed_data=changed_data)
    variables, step = restore.restore(experiment, *source)
    kind = Segmenter if tasks.of(experiment) is tasks.semantic else Detector
    return kind(experiment, labels, variables, step, source)
