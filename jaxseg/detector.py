"""A trained detector for programs and notebooks, as returned by `jaxseg.load`.

    network = jaxseg.load("runs/instances")
    network.classes                                     # ("disc", "square", ...)
    found = network.predict("street.jpg")               # what `Detections` says
    found.boxes, found.scores, found.names, found.masks
    each = network.predict(["a.jpg", "b.jpg"], score=0.5)
    network.evaluate(images, truth).summary()["mask AP"]

The results are those that `jaxseg predict` writes and `jaxseg evaluate` judges.
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg import config, given, summary, tasks
from jaxseg.data.instances import Objects
from jaxseg.data.labels import ANY_OBJECT, LabelSpec
from jaxseg.errors import counted
from jaxseg.evaluation import coco
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.evaluation.panoptic_split import PanopticCounts
from jaxseg.given import Image
from jaxseg.inference.detect import Found
from jaxseg.metrics.coco import KINDS
from jaxseg.opened import on_device, under
from jaxseg.types import ArrayLike, Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """The D objects found in an image, by descending score.

    Attributes:
      boxes: x1, y1, x2, y2 in pixels of the image, float32 [D, 4].
      scores: 0 to 1, float32 [D].
      classes: 1 to K, int32 [D].
      names: of their classes.
      masks: bool [D, H, W]; None for a detector of boxes.
      semantic: the class of each pixel, uint8 [H, W], of a network that classifies pixels too: 0
        for things, 1, 2, ... in the order of `Detector.labels.stuff`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    names: tuple[str, ...]
    masks: np.ndarray | None
    semantic: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """A trained detector with everything that determines what it finds.

    Attributes:
      experiment: the network, the sizes and normalisation of images, and the protocol.
      labels: names and published ids of the classes.
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
        """The names of the K classes; that of class k of a detection is classes[k - 1].

        Proposals are all of the class "object".
        """
        return ANY_OBJECT.names if self._proposes else self.labels.names

    @property
    def _proposes(self) -> bool:
        return getattr(self.experiment.model, "proposals", False)

    def predict(
        self,
        images: Image | Sequence[Image],
        protocol: config.Eval | None = None,
        *,
        score: float = 0.0,
    ) -> Any:
        """The objects in an image, or in each of several.

        Each image is predicted separately, so that the result does not depend on the others.

        Args:
          images: one image, a file or uint8 [H, W, 3]; a batch uint8 [B, H, W, 3]; or a list of
            files and images of any sizes.
          protocol: scales, flip, average; None for the experiment's own.
          score: from which on objects are returned; model.selection.score is a bound too.

        Returns:
          `Detections` for one image, a list of them for a batch or a list.

        Raises:
          FileNotFoundError: the file does not exist.
          ValueError: an invalid image; a file that cannot be read, which is named; scores that are
            not finite.
        """
        if (several := given.several(images, axes=3)) is not None:
            return [self.predict(one, protocol, score=score) for one in several]
        found = self._found(images, protocol)
        count = int((found.scores >= score).sum())  # they descend
        kept = dataclasses.replace(
            found,
            boxes=found.boxes[:count],
            scores=found.scores[:count],
            classes=found.classes[:count],
            grids=None if found.grids is None else found.grids[:count],
        )
        masks = kept.masks()
        return Detections(
            kept.boxes,
            kept.scores,
            kept.classes,
            tuple(self.classes[k - 1] for k in kept.classes),
            None if masks is None else np.array([*masks], bool).reshape(-1, *kept.size),
            kept.semantic,
        )

    def evaluate(
        self,
        images: Sequence[Image] | ArrayLike,
        truth: Sequence[Objects],
        protocol: config.Eval | None = None,
    ) -> InstanceEvaluation:
        """COCO's AP and AR, and PQ of things, over all images; of proposals AR alone.

        Args:
          images: files and images uint8 [H, W, 3] of any sizes, or a batch uint8 [B, H, W, 3].
          truth: the objects of each image, from `jaxseg.data.instances.of_masks`, or those of an
            example of an instance set.
          protocol: see `predict`.

        Returns:
          The evaluation; its `summary()` are COCO's numbers, "box AP" to "mask ARl", and
          "PQ things" of a detector with masks; of proposals "box AR@1" to "mask ARl@1000".

        Raises:
          ValueError: the numbers of images and truths differ, or objects are of another size than
            their image; see also `predict`.
        """
        started = time.monotonic()
        several = given.several(images, axes=3)
        if several is None:
            raise ValueError("images must be a list or a batch: [image] for one")
        if len(several) != len(truth):
            raise ValueError(
                f"{counted(len(several), 'image')}, but the objects of {len(truth)} are given"
            )
        detections, has_masks = coco.Detections(), False
        panoptic = PanopticCounts(self.labels.names)
        for index, (image, objects) in enumerate(zip(several, truth, strict=True)):
            found = self._found(image, protocol)
            if found.size != objects.size:
                name = image if given.is_path(image) else f"image {index}"
                raise ValueError(f"{name} is {found.size}, its objects {objects.size}")
            has_masks = has_masks or found.grids is not None
            detections.add(index, found.boxes, found.scores, found.classes, found.masks())
            if found.grids is not None and not self._proposes:
                panoptic.add(index, objects, detections.of(index))
        annotations = coco.truth_of(enumerate(truth), self.labels.names)
        kinds = KINDS if has_masks else KINDS[:1]
        judge = coco.judge_proposals if self._proposes else coco.judge
        judged = {kind: judge(annotations, detections, kind) for kind in kinds}
        names = tuple(
            str(image) if given.is_path(image) else f"image {index}"
            for index, image in enumerate(several)
        )
        segments = panoptic.total() if has_masks and not self._proposes else None
        seconds = time.monotonic() - started
        return InstanceEvaluation(names, annotations, detections, judged, seconds, segments)

    def summary(self, size: tuple[int, int] | None = None) -> str:
        """A table of the layers; see `Segmenter.summary`."""
        return summary.describe(self.experiment, size or self.experiment.data.crop_size)

    def _found(self, image: Any, protocol: config.Eval | None) -> Found:
        experiment = under(self, protocol)
        pixels = given.pixels(image)
        find = tasks.instance.image_detector(experiment)
        try:
            found: Found = find(on_device(self, experiment.eval.use_ema), pixels)
        except ValueError as error:
            name = f"{image}: " if given.is_path(image) else ""
            raise ValueError(f"{name}{error}") from error
        return found
