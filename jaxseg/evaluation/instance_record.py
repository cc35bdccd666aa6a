"""The record that the evaluation of a detector leaves in a run folder.

TAG.json holds COCO's numbers; TAG.npz the matches, for intervals (those of proposals are not kept).
The detections stand in COCO's results format beside the truth in COCO's format, in TAG/bbox.json,
TAG/segm.json, TAG/truth.json:

    COCOeval(COCO("truth.json"), COCO("truth.json").loadRes("segm.json"), "segm")

gives the same numbers, apart from ties between the scores of images that are not in the order of
their ids; of proposals with `params.useCats = 0`. Boxes and masks are in separate files, because
pycocotools takes the area of a mask from its box if it finds both.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg import whole_file
from jaxseg.data import instances
from jaxseg.data.labels import LabelSpec
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.metrics import ap_intervals
from jaxseg.metrics.coco import AREAS, Judged, Kind
from jaxseg.metrics.definitions import LEVEL
from jaxseg.workdir import log, match_file

_DIGITS = 4  # of the precisions of a curve
_LARGEST = {"small": 32.0**2, "medium": 96.0**2}  # area in pixels


def to_json(evaluation: InstanceEvaluation, labels: LabelSpec) -> dict[str, Any]:
    """The numbers of an evaluation as JSON values, shares between 0 and 1, nan for 0 / 0.

    "metrics" has COCO's twelve numbers of boxes ("bbox") and of masks ("segm") by name, and
    "AP_interval" and "AP50_interval" over resampled images, or null with fewer than two images.
    "curves" has the precision at the recalls 0, .01, ... 1. "score" is the one from which on the
    detections have the highest F1. "panoptic" has "metrics", such as "PQ things", the "intervals"
    of PQ over resampled images, and the metrics of each of the "categories"; it is missing without
    masks.

    Of a network of proposals "proposals" is true, and "metrics" has COCO's recalls, "AR@1" to
    "ARl@1000". It has no "categories", "curves" and "score", since proposals are of any class and
    all of them count.
    """
    annotations = evaluation.truth["annotations"]
    crowds = sum(each["iscrowd"] for each in annotations)
    return {
        "task": "instance",
        "proposals": evaluation.of_proposals,
        "names": list(labels.names),
        "palette": [list(map(int, colour)) for colour in labels.palette],
        "counts": {
            "images": len(evaluation.names),
            "objects": len(annotations) - crowds,
            "crowds": crowds,
            "detections": len(evaluation.detections.results()),
        },
        "objects": _objects(evaluation.truth, labels.names),
        "images": evaluation.images,
        "seconds": evaluation.seconds,
        **(_of_proposals(evaluation) if evaluation.of_proposals else _of_detections(evaluation)),
    }


def _of_detections(evaluation: InstanceEvaluation) -> dict[str, Any]:
    return {
        "metrics": {kind: _metrics(judged) for kind, judged in evaluation.judged.items()},
        "categories": {kind: judged.per_category() for kind, judged in evaluation.judged.items()},
        "curves": {kind: _curves(judged) for kind, judged in evaluation.judged.items()},
        "score": evaluation.score,
        **_panoptic(evaluation),
    }


def _of_proposals(evaluation: InstanceEvaluation) -> dict[str, Any]:
    judged = evaluation.judged
    return {"metrics": {kind: of.proposal_summary() for kind, of in judged.items()}}


def _panoptic(evaluation: InstanceEvaluation) -> dict[str, Any]:
    if (found := evaluation.panoptic) is None:
        return {}
    intervals = {
        name: [of.low, of.high] for name, of in found.intervals(len(evaluation.names)).items()
    }
    return {
        "panoptic": {
            "metrics": found.summary(),
            "intervals": intervals,
            "categories": found.per_category(),
        }
    }


def _metrics(judged: Judged) -> dict[str, Any]:
    matches, intervals = judged.matches, dict[str, list[float] | None]()
    for name, thresholds in (("AP", ap_intervals.EVERY), ("AP50", ap_intervals.HALF)):
        intervals[f"{name}_interval"] = None
        if matches is not None and len(matches.images) > 1 and matches.truth.any():
            found = ap_intervals.bootstrap_ap(matches, level=LEVEL, thresholds=thresholds)
            intervals[f"{name}_interval"] = [found.low, found.high]
    return judged.summary() | intervals


def _curves(judged: Judged) -> dict[str, Any]:
    """Precision at IoU .50 and averaged over the thresholds, of all categories and of each."""

    def both(category: int | None) -> dict[str, list[float]]:
        half, mean = judged.curve(0.5, category), judged.curve(None, category)
        return {"AP50": half.round(_DIGITS).tolist(), "AP": mean.round(_DIGITS).tolist()}

    by_name = {name: both(number) for number, name in judged.categories.items()}
    return {"all": both(None), "categories": by_name}


def _objects(truth: Mapping[str, Any], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The number of objects of each class, by size too, and of crowds."""
    counts = {name: dict.fromkeys((*AREAS, "crowds"), 0) for name in names}
    for each in truth["annotations"]:
        of = counts[names[each["category_id"] - 1]]
        if each["iscrowd"]:
            of["crowds"] += 1
            continue
        size = next((name for name, most in _LARGEST.items() if each["area"] < most), "large")
        of["all"] += 1
        of[size] += 1
    return counts


def write(
    folder: pathlib.Path,
    tag: str,
    evaluation: InstanceEvaluation,
    labels: LabelSpec,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes TAG.json, TAG.npz and the files in TAG.

    Args:
      folder: RUN/eval.
      tag: from `eval_folder.tag`.
      evaluation: the result.
      labels: the classes.
      about: further entries of the record, such as weights, data and environment.

    Returns:
      The record.
    """
    own = whole_file.folder_in(folder, tag)
    whole_file.sweep(folder, deep=True)
    record = {**about, **to_json(evaluation, labels)}
    ids, categories = instances.image_ids(evaluation.names), instances.published(labels)
    _write(own / "truth.json", _truth(evaluation, ids, categories))
    # Proposals are of no category; COCO's results must name one, and comparing them ignores it.
    results = evaluation.detections.results(None if evaluation.of_proposals else categories)
    for kind in evaluation.judged:
        _write(own / f"{kind}.json", [_result(each, ids, kind) for each in results])
    matches: dict[str, dict[str, Any]] = {
        kind: {
            field.name: getattr(judged.matches, field.name)
            for field in dataclasses.fields(judged.matches)
        }
        for kind, judged in evaluation.judged.items()
        if judged.matches is not None
    }
    if matches:
        match_file.write(folder / f"{tag}.npz", matches)
    log.write_json(folder / f"{tag}.json", record)
    return record


def _truth(
    evaluation: InstanceEvaluation, ids: Sequence[int], categories: Mapping[int, int]
) -> dict[str, Any]:
    truth = evaluation.truth
    return {
        "images": [
            {**each, "id": ids[each["id"]], "file_name": evaluation.names[each["id"]]}
            for each in truth["images"]
        ],
        "annotations": [
            {
                **each,
                "image_id": ids[each["image_id"]],
                "category_id": categories[each["category_id"]],
                "segmentation": _ascii(each["segmentation"]),
            }
            for each in truth["annotations"]
        ],
        "categories": [{**each, "id": categories[each["id"]]} for each in truth["categories"]],
    }


def _result(found: Mapping[str, Any], ids: Sequence[int], kind: Kind) -> dict[str, Any]:
    one = {name: found[name] for name in ("category_id", "score")}
    one = {"image_id": ids[found["image_id"]], **one}
    if kind == "bbox":
        return one | {"bbox": found["bbox"]}
    return one | {"segmentation": _ascii(found["segmentation"])}


def _ascii(mask: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}


def _write(path: pathlib.Path, value: Any) -> None:
    whole_file.write_text(path, json.dumps(value, separators=(",", ":")))
