"""The tasks: what semantic and instance segmentation add to the one loop that serves both."""

from jaxseg import config
from jaxseg.tasks import instance, semantic
from jaxseg.tasks.task import Objective, Task

__all__ = ["Objective", "Task", "of", "only_semantic"]


def of(experiment: config.Experiment) -> Task:
    """The task of an experiment, which its model decides: `model.task`, "semantic" without it.

    Raises:
      ValueError: the model has a task that does not exist.
    """
    name = getattr(experiment.model, "task", "semantic")
    if name == "semantic":
        return semantic
    if name == "instance":
        return instance
    raise ValueError(
        f"{type(experiment.model).__name__}.task is {name!r}: it must be semantic or instance"
    )


def only_semantic(experiment: config.Experiment, what: str) -> None:
    """Refuses a detector where classes of pixels are needed.

    Raises:
      ValueError: names the model and what cannot be done with it.
    """
    if of(experiment) is not semantic:
        raise ValueError(
            f"{what} needs a class for each pixel, but {type(experiment.model).__name__} detects "
            "objects"
        )
