"""Evaluation of a detector during training: COCO's numbers in the log, one line for the user."""

import math

from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data.loader import Source
from jaxseg.data.source import InstanceSource
from jaxseg.evaluation import instance_pictures
from jaxseg.runtime import processes
from jaxseg.state import TrainState, variables
from jaxseg.tasks.instance_evaluation import judged
from jaxseg.workdir import log


def validate(
    experiment: config.Experiment,
    state: TrainState,
    step: int,
    test: Source,
    mesh: Mesh,
    writer: log.Writer,
    progress: log.Progress,
) -> None:
    """Evaluates and logs AP and AR, by class too; warns if nothing at all is found; draws."""
    assert isinstance(test, InstanceSource)
    kept = variables(state, use_ema=experiment.eval.use_ema)
    result = judged(experiment, kept, test, mesh)
    summary = {name: value for name, value in result.summary().items() if not math.isnan(value)}
    shown = ", ".join(f"{name} {value:.4f}" for name, value in summary.items() if _headline(name))
    progress.say(f"step {step}: {shown or 'the split holds no object'}")
    if summary and not result.detections.results():
        progress.say(
            f"ALARM at step {step}: no object was found in any image: the network may have "
            "collapsed"
        )
    by_class = {str(kind): of.per_category() for kind, of in result.judged.items()}
    if result.panoptic:
        by_class["panoptic"] = result.panoptic.per_category()
    writer.write(
        "eval", step, {**summary, "classes": by_class, "seconds": round(result.seconds, 3)}
    )
    if processes.is_main() and not result.of_proposals:
        for i in range(min(experiment.train.pictures, len(result.names))):
            writer.picture(step, f"eval/{i}", instance_pictures.picture(result, test, i))


def _headline(name: str) -> bool:
    return name.split()[-1] in ("AP", "AP50", "AR@100", "AR@1000") or name.startswith("PQ")
