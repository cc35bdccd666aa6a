"""Evaluates a detector on a split: COCO's AP and AR of boxes and of masks, and PQ."""

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from jax.sharding import Mesh

from jaxseg.data import instance_loader
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.source import InstanceSource
from jaxseg.evaluation import coco
from jaxseg.evaluation.panoptic_split import PanopticCounts, PanopticQuality
from jaxseg.inference.detect import make_detector
from jaxseg.metrics import detection_f1
from jaxseg.metrics.coco import KINDS, Judged, Kind
from jaxseg.metrics.matching import Matches
from jaxseg.pixels import Normalisation
from jaxseg.postprocess.panoptic import STUFF_AREA
from jaxseg.progress import Progress
from jaxseg.runtime import processes
from jaxseg.runtime.mesh import check_split, replicated
from jaxseg.types import Variables


@dataclasses.dataclass(frozen=True)
class InstanceEvaluation:
    """The result of an evaluation.

    Attributes:
      names: of the evaluated images, in the order of the split.
      truth: COCO's annotations of these images, whose ids are their indices.
      detections: of all processes.
      judged: "bbox", and "segm" for a network with masks.
      seconds: of the evaluation.
      panoptic: PQ of a network with masks of classes; None for others.
    """

    names: tuple[str, ...]
    truth: Mapping[str, Any]
    detections: coco.Detections
    judged: Mapping[Kind, Judged]
    seconds: float
    panoptic: PanopticQuality | None = None

    def summary(self) -> dict[str, float]:
        """COCO's numbers, "box AP" to "mask ARl"; nan where the split has no such object.

        Of masks of classes, "PQ things", and what else `PanopticQuality.summary` has. Of proposals,
        "box AR@1" to "mask ARl@1000".
        """
        words = {"bbox": "box", "segm": "mask"}
        numbers = {
            f"{words[kind]} {name}": value
            for kind, judged in self.judged.items()
            for name, value in _numbers(judged).items()
        }
        return numbers | (self.panoptic.summary() if self.panoptic else {})

    @property
    def of_proposals(self) -> bool:
        """Whether proposals of any class are judged, which have no score to be chosen."""
        return any(judged.of_proposals for judged in self.judged.values())

    @property
    def _matches(self) -> Matches:
        """Of masks, or of boxes for a detector of boxes."""
        matches = list(self.judged.values())[-1].matches
        assert matches is not None
        return matches

    @functools.cached_property
    def score(self) -> float:
        """The score from which on the detections have the highest F1."""
        return detection_f1.best_score(self._matches)

    @functools.cached_property
    def images(self) -> list[dict[str, Any]]:
        """Of each image "index", "name", "f1" above `score`, and the number of its "objects".

        Of proposals "index" and "name" alone.
        """
        if self.of_proposals:
            return [{"index": i, "name": name} for i, name in enumerate(self.names)]
        matches = self._matches
        f1 = detection_f1.f1_of_images(matches, self.score).tolist()
        objects = matches.truth.sum(axis=1).tolist()
        return [
            {"index": i, "name": name, "f1": f1[i], "objects": objects[i]}
            for i, name in enumerate(self.names)
        ]


def _numbers(judged: Judged) -> dict[str, float]:
    return judged.proposal_summary() if judged.of_proposals else judged.summary()


def evaluate(
    model: nn.Module,
    variables: Variables,
    source: InstanceSource,
    *,
    transform: InstanceTransform,
    normalisation: Normalisation,
    batch_size: int,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    stuff_area: int = STUFF_AREA,
    examples: int = 0,
    threads: int = 8,
    mesh: Mesh | None = None,
    progress: bool = True,
) -> InstanceEvaluation:
    """Detects the objects of every image of a split and compares them with the truth.

    Boxes and masks are judged on the original images. An image's detections depend on that image
    alone, and every process of several returns the whole result.

    Args:
      model: a detector.
      variables: {"params", "batch_stats"}.
      source: the split.
      transform: decides the size of the images and their canvas.
      normalisation: of the pixels.
      batch_size: rounded up to what the mesh can split.
      scales: at which each image is seen; see `inference.object_views`.
      flip: see the mirror image at each scale as well.
      stuff_area: pixels of the smallest segment of stuff, of a network that classifies pixels.
      examples: only the first ones; 0: all.
      threads: that read images, in this process.
      mesh: of `mesh.make_mesh`; None: this process evaluates on one device.
      progress: show a bar with rate and remaining time.

    Raises:
      ValueError: an empty split, or scores that are not finite.
    """
    started = time.monotonic()
    total = min(len(source), examples or len(source))
    if total == 0:
        raise ValueError("the split to evaluate holds no image")
    multiple = mesh.shape["data"] if mesh else 1
    groups = instance_loader.groups(
        source, total, transform, batch_size=batch_size, multiple=multiple
    )
    if mesh:
        for group in groups:
            check_split(mesh, group.batch_size, group.frame[0])
    batches = instance_loader.eval_batches(
        source,
        groups,
        transform,
        process_index=jax.process_index() if mesh else 0,
        process_count=jax.process_count() if mesh else 1,
        threads=threads,
        scales=scales,
    )
    detect = make_detector(model, normalisation, mesh, scales=scales, flip=flip)
    variables = jax.device_put(variables, replicated(mesh) if mesh else None)
    detections, has_masks = coco.Detections(), False
    of_proposals = getattr(model, "proposals", False)
    stuff = source.labels.stuff if hasattr(model, "semantic_classes") else None
    panoptic = PanopticCounts(source.labels.names, stuff.names[1:] if stuff else (), stuff_area)
    hidden = not progress or not processes.is_main()
    with Progress(total, "evaluate", hidden=hidden, leave=False) as bar:
        for batch in batches:
            for one in detect(variables, batch):
                has_masks = has_masks or one.grids is not None
                detections.add(one.index, one.boxes, one.scores, one.classes, one.masks())
                if one.grids is not None and not of_proposals:
                    objects, found = source.objects(one.index), detections.of(one.index)
                    pixels = (source.semantic(one.index), one.semantic) if stuff else (None, None)
                    panoptic.add(one.index, objects, found, *pixels)
                bar.advance(1)
    if mesh:
        detections, panoptic = detections.of_all_processes(), panoptic.of_all_processes()
    of_images = ((index, source.objects(index)) for index in range(total))
    truth = coco.truth_of(of_images, source.labels.names)
    names = tuple(source.encoded(index)["name"] for index in range(total))
    kinds = KINDS if has_masks else KINDS[:1]
    judge = coco.judge_proposals if of_proposals else coco.judge
    judged = {kind: judge(truth, detections, kind) for kind in kinds}
    segments = panoptic.total() if has_masks and not of_proposals else None
    seconds = time.monotonic() - started
    return InstanceEvaluation(names, truth, detections, judged, seconds, segments)
