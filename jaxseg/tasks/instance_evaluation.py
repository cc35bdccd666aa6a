"""`--mode=evaluate` of a detector: what is judged, written and printed."""

import pathlib
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.loader import Source
from jaxseg.data.source import InstanceSource
from jaxseg.errors import counted
from jaxseg.evaluation import (
    instance_pictures,
    instance_record,
    instance_split,
    instances_as_classes,
)
from jaxseg.evaluation import record as records
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.inference.classes import check_classes
from jaxseg.percent import percent
from jaxseg.reporting import tables
from jaxseg.tasks import stuff
from jaxseg.types import Variables
from jaxseg.workdir import eval_folder, per_image


def transform_of(data: config.Data) -> InstanceTransform:
    """How images of this data are resized and varied."""
    return InstanceTransform(data.crop_size, data.instances, data.normalisation.mean)


def evaluate(
    experiment: config.Experiment,
    variables: Variables,
    source: Source,
    mesh: Mesh,
    *,
    progress: bool,
) -> InstanceEvaluation:
    """COCO's AP and AR on the split, of proposals AR alone; see `instance_split.evaluate`.

    Raises:
      ValueError: a network of another number of classes than the data, or that needs classes of
        stuff which the data lacks.
    """
    assert isinstance(source, InstanceSource)
    if not getattr(experiment.model, "proposals", False):
        check_classes(experiment.model.num_classes, source.labels.num_classes)
    instances_as_classes.check(experiment.model, experiment.eval.semantic)
    if found := stuff.faults(experiment, source):
        raise ValueError(found[0])
    return judged(experiment, variables, source, mesh, progress=progress)


def judged(
    experiment: config.Experiment,
    variables: Variables,
    source: InstanceSource,
    mesh: Mesh,
    *,
    progress: bool = True,
) -> InstanceEvaluation:
    """The detections of the split, or the proposals, compared with the truth."""
    data, protocol = experiment.data, experiment.eval
    return instance_split.evaluate(
        experiment.model,
        variables,
        source,
        transform=transform_of(data),
        normalisation=data.normalisation,
        batch_size=protocol.batch_size,
        scales=protocol.scales,
        flip=protocol.flip,
        stuff_area=protocol.stuff_area,
        examples=protocol.examples,
        threads=data.threads,
        mesh=mesh,
        progress=progress,
    )


def record(
    folder: pathlib.Path,
    tag: str,
    evaluation: InstanceEvaluation,
    experiment: config.Experiment,
    variables: Variables,
    source: Source,
    about: Mapping[str, Any],
) -> str:
    """Writes the numbers, matches, detections and pictures; see `workdir.eval_folder`.

    Proposals have neither matches nor pictures.
    """
    assert isinstance(source, InstanceSource)
    pixels = None
    if experiment.eval.semantic:
        pixels = instances_as_classes.evaluate(evaluation, source.labels)
        spec = instances_as_classes.with_background(source.labels)
        about = {**about, "semantic": records.to_json(pixels, spec)}
    kept = instance_record.write(folder, tag, evaluation, source.labels, about)
    if evaluation.of_proposals:
        return tables.proposals(kept)
    if pixels is not None and pixels.per_image:
        per_image.write(folder / tag / eval_folder.CLASSES, pixels.per_image)
    instance_pictures.write(folder / tag, evaluation, source)
    found, objects = kept["counts"]["detections"], kept["counts"]["objects"]
    about_score = (
        f"{counted(found, 'detection')} of {counted(objects, 'object')}; their F1 is highest from "
        f"a score of {percent(evaluation.score, 1)} % on"
    )
    lines = [tables.detections(kept), about_score]
    if pixels is not None:
        interval = kept["semantic"]["metrics"]["miou_interval"]
        names = kept["semantic"]["names"]
        lines.append(
            "classes of pixels, of detections from a score of "
            f"{percent(instances_as_classes.SCORE, 0)} % on:\n\n"
            f"{tables.evaluation(pixels.confusion, names, interval)}"
        )
    return "\n\n".join(lines)
