"""COCO's average precision and average recall, of boxes and of masks.

pycocotools, the authors' code, matches and accumulates; this module reads its arrays. Its
`summarize` is not used, because it only supports 100 detections per image (cocoapi, issue 558) and
prints. Truth and detections are in COCO's formats (cocodataset.org, "Data format" and "Results
format").

Rules of COCO that are easily missed: an image without detections still counts. A crowd absorbs any
number of detections and is never missed. The size of an object is its annotated `area`; a detection
that matches nothing has the size of its own box or mask. Equal scores keep the given order.
"""

import contextlib
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxseg.metrics import matching

Kind = Literal["bbox", "segm"]
KINDS: tuple[Kind, ...] = ("bbox", "segm")
Area = Literal["all", "small", "medium", "large"]  # below 32^2 pixels, to 96^2, above
Values = Mapping[str, Any]

AREAS: tuple[Area, ...] = ("all", "small", "medium", "large")
LIMITS = (1, 10, 100)  # detections per image and category that count
PROPOSAL_LIMITS = (1, 100, 1000)
SHORT = {"all": "", "small": "s", "medium": "m", "large": "l"}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What pycocotools has accumulated; -1 where there is nothing to find.

    Attributes:
      kind: "bbox" or "segm".
      categories: id -> name, in the order of the axis K; of proposals one, "object".
      limits: detections per image, ascending: the axis M.
      thresholds: of IoU, .50 to .95: the axis T.
      recalls: at which the precision is read, 0 to 1 by .01: the axis R.
      precision: the axis A is `AREAS`.
      recall: that all detections reach.
      matches: for intervals over images; None of proposals.
    """

    kind: Kind
    categories: Mapping[int, str]
    limits: tuple[int, ...]
    thresholds: Float[np.ndarray, " t"]
    recalls: Float[np.ndarray, " r"]
    precision: Float[np.ndarray, "t r k a m"]
    recall: Float[np.ndarray, "t k a m"]
    matches: matching.Matches | None

    @property
    def of_proposals(self) -> bool:
        """Whether classes were ignored."""
        return self.matches is None

    def ap(
        self, threshold: float | None = None, area: Area = "all", category: int | None = None
    ) -> float:
        """AP with as many detections per image as the last limit; nan without an object.

        Args:
          threshold: of IoU; None: the mean over all of them.
          area: of the objects.
          category: id; None: the mean over the categories that have an object.
        """
        part = self._of_category(self.precision[..., AREAS.index(area), -1], 2, category)
        return _mean(part if threshold is None else part[self._row(threshold)])

    def ar(self, limit: int, area: Area = "all", category: int | None = None) -> float:
        """The mean recall over the IoU thresholds, with `limit` detections per image."""
        part = self.recall[..., AREAS.index(area), self.limits.index(limit)]
        return _mean(self._of_category(part, 1, category))

    def curve(
        self, threshold: float | None = None, category: int | None = None
    ) -> Float[np.ndarray, " r"]:
        """The precision at each of `recalls`, the mean over the categories that have an object.

        Args:
          threshold: of IoU; None: the mean over all of them, whose mean is AP.
          category: id; None: the mean over the categories that have an object.
        """
        part = self._of_category(self.precision[..., 0, -1], 2, category)
        part = part.mean(axis=0) if threshold is None else part[self._row(threshold)]
        there = (part > -1).any(axis=0)
        if not there.any():
            return np.full(len(part), math.nan)
        return part[:, there].mean(axis=1)

    def summary(self) -> dict[str, float]:
        """COCO's twelve numbers by their names, AP to ARl; nan where there is no object."""
        one, ten, most = self.limits
        return {
            "AP": self.ap(),
            "AP50": self.ap(0.5),
            "AP75": self.ap(0.75),
            **{f"AP{SHORT[area]}": self.ap(area=area) for area in AREAS[1:]},
            **{f"AR{limit}": self.ar(limit) for limit in (one, ten, most)},
            **{f"AR{SHORT[area]}": self.ar(most, area) for area in AREAS[1:]},
        }

    def proposal_summary(self) -> dict[str, float]:
        """AR of each limit and size: "AR@1000", "ARs@1000" and so on."""
        return {
            f"AR{SHORT[area]}@{limit}": self.ar(limit, area)
            for limit in self.limits
            for area in AREAS
        }

    def per_category(self) -> dict[str, dict[str, float]]:
        """Name -> AP, AP50, AP75, those by size, and AR."""
        return {
            name: {
                "AP": self.ap(category=number),
                "AP50": self.ap(0.5, category=number),
                "AP75": self.ap(0.75, category=number),
                **{f"AP{SHORT[area]}": self.ap(area=area, category=number) for area in AREAS[1:]},
                "AR": self.ar(self.limits[-1], category=number),
            }
            for number, name in self.categories.items()
        }

    def _of_category(self, values: np.ndarray, axis: int, category: int | None) -> np.ndarray:
        if category is None:
            return values
        return values.take([list(self.categories).index(category)], axis=axis)

    def _row(self, threshold: float) -> int:
        (found,) = np.flatnonzero(np.isclose(self.thresholds, threshold))
        return int(found)


def _mean(values: np.ndarray) -> float:
    """Over what is defined: pycocotools writes -1 where there is no object."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan


def judge(truth: Values, results: Sequence[Values], kind: Kind) -> Judged:
    """AP and AR of detections.

    Args:
      truth: COCO's "images", "annotations" and "categories"; all images count.
      results: COCO's list of detections; those of an image in the order that breaks ties. "bbox" is
        x, y, width, height; masks are "segmentation".
      kind: whether the overlap of boxes or of masks is measured.

    Raises:
      ValueError: a detection has an image or a category that the truth lacks, or a mask differs
        in size from its image.

    Examples:
      >>> square = {"bbox": [2.0, 2.0, 8.0, 8.0], "image_id": 1, "category_id": 1}
      >>> truth = {
      ...     "images": [{"id": 1, "height": 16, "width": 16}],
      ...     "annotations": [square | {"id": 1, "area": 64.0, "iscrowd": 0}],
      ...     "categories": [{"id": 1, "name": "disc"}],
      ... }
      >>> found = judge(truth, [square | {"score": 0.9}], "bbox").summary()
      >>> found["AP"], found["APs"], found["APl"]
      (1.0, 1.0, nan)
    """
    evaluated = _evaluated(truth, results, kind, LIMITS, by_category=True)
    names = {each["id"]: each["name"] for each in truth["categories"]}
    categories = {int(number): names[number] for number in evaluated.params.catIds}
    return _judged(evaluated, kind, categories, matching.of_evaluation(evaluated, len(AREAS)))


def judge_proposals(
    truth: Values,
    results: Sequence[Values],
    kind: Kind,
    limits: tuple[int, ...] = PROPOSAL_LIMITS,
) -> Judged:
    """AR of proposals regardless of class: COCO's `useCats` 0 (Hosang et al., 1502.05082).

    Args:
      truth: see `judge`.
      results: see `judge`; their categories are ignored.
      kind: see `judge`.
      limits: proposals per image.

    Raises:
      ValueError: see `judge`.
    """
    evaluated = _evaluated(truth, results, kind, limits, by_category=False)
    return _judged(evaluated, kind, {-1: "object"}, None)


def _judged(
    evaluated: COCOeval, kind: Kind, categories: Mapping[int, str], matches: matching.Matches | None
) -> Judged:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluated.accumulate()
    return Judged(
        kind=kind,
        categories=categories,
        limits=tuple(evaluated.params.maxDets),
        thresholds=evaluated.params.iouThrs,
        recalls=evaluated.params.recThrs,
        precision=evaluated.eval["precision"],
        recall=evaluated.eval["recall"],
        matches=matches,
    )


def _evaluated(
    truth: Values, results: Sequence[Values], kind: Kind, limits: Sequence[int], by_category: bool
) -> COCOeval:
    """pycocotools' evaluation after matching; it prints, and writes into its arguments."""
    with contextlib.redirect_stdout(io.StringIO()):
        # pycocotools stores the id of the matched object, and reads 0 as no match.
        numbered = [{**each, "id": n} for n, each in enumerate(truth["annotations"], 1)]
        objects = _indexed(truth, numbered)
        found = _indexed(truth, _detections(objects, results, kind, by_category))
        evaluated = COCOeval(objects, found, kind)
        evaluated.params.maxDets = list(limits)
        evaluated.params.useCats = int(by_category)
        evaluated.evaluate()
    return evaluated


def _indexed(truth: Values, annotations: list[dict[str, Any]]) -> COCO:
    made = COCO()
    made.dataset = {
        "images": truth["images"],
        "annotations": annotations,
        "categories": truth["categories"],
    }
    made.createIndex()
    return made


def _detections(
    objects: COCO, results: Sequence[Values], kind: Kind, by_category: bool
) -> list[dict[str, Any]]:
    """Like pycocotools' `loadRes`, which takes the box's area for the mask's if both are given."""
    found = []
    for number, result in enumerate(results, 1):
        image, category = result["image_id"], result["category_id"]
        if image not in objects.imgs:
            raise ValueError(f"a detection is of image {image}, which the truth does not have")
        if by_category and category not in objects.cats:
            raise ValueError(
                f"a detection in image {image} is of category {category}, which the truth does not "
                f"have; it has: {', '.join(map(str, sorted(objects.cats)))}"
            )
        one = {
            "id": number,
            "image_id": image,
            "category_id": category if by_category else min(objects.cats),
            "score": result["score"],
            "iscrowd": 0,
        }
        if kind == "bbox":
            one |= {"bbox": result["bbox"], "area": result["bbox"][2] * result["bbox"][3]}
        else:
            mask, whole = objects.annToRLE(result), objects.imgs[image]
            if list(mask["size"]) != [whole["height"], whole["width"]]:
                raise ValueError(
                    f"a mask in image {image} is {mask['size'][0]} x {mask['size'][1]}, the image "
                    f"{whole['height']} x {whole['width']}"
                )
            one |= {"segmentation": mask, "area": float(rle.area(mask))}
        found.append(one)
    return found
