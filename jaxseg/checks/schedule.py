"""Finds faults in the optimiser's settings and in the learning-rate schedule of a run."""

from jaxseg.config import Experiment, Optim


def optimiser_faults(experiment: Experiment) -> list[str]:
    """The `schedule_faults`, and settings without effect or that belong to another schedule."""
    settings = experiment.optim
    faults = schedule_faults(settings, experiment.train.steps)
    if settings.learning_rate == 0:
        faults.append(
            "optim.learning_rate=0 does not change the network: set "
            f"--config.optim.learning_rate={Optim.learning_rate}"
        )
    if settings.decay_steps and settings.schedule != "step":
        faults.append(
            "optim.decay_steps belongs to optim.schedule=step, but the schedule is "
            f"{settings.schedule}: set "
            '--config.optim.schedule=step, or --config.optim.decay_steps="()"'
        )
    return faults


def schedule_faults(optim: Optim, steps: int) -> list[str]:
    """The faults of the learning-rate schedule of a run, each with the flag that fixes it."""
    found = []
    if optim.warmup_steps >= max(steps, 1):
        found.append(
            f"optim.warmup_steps={optim.warmup_steps} must be at least 0 and below "
            f"train.steps={steps}: "
            "set --config.optim.warmup_steps=0"
        )
    if optim.schedule == "poly" and optim.end_learning_rate > optim.learning_rate:
        found.append(
            f"optim.end_learning_rate={optim.end_learning_rate} is above learning_rate="
            f"{optim.learning_rate}, so the rate would rise: set --config.optim.end_learning_rate=0"
        )
    if optim.schedule != "step":
        return found
    if not optim.decay_steps:
        return [
            *found,
            "optim.schedule=step needs optim.decay_steps, e.g. (20000, 40000): set "
            f"--config.optim.decay_steps={max(steps * 2 // 3, 1)}",
        ]
    given = ",".join(map(str, optim.decay_steps))
    ascending = sorted(set(optim.decay_steps))
    once = ",".join(map(str, ascending))
    if list(optim.decay_steps) != ascending:
        found.append(
            f"optim.decay_steps={given} must be strictly increasing (the rate is multiplied by "
            f"decay_factor at each step): set --config.optim.decay_steps={once}, and "
            "--config.optim.decay_factor to the product if a step should count twice"
        )
    within = [step for step in ascending if max(optim.warmup_steps, 1) <= step < steps]
    if within != ascending:
        fitting = ",".join(map(str, within))
        way = f"--config.optim.decay_steps={fitting}" if within else "another schedule"
        found.append(
            f"optim.decay_steps={given} must be at least {max(optim.warmup_steps, 1)}, after the "
            f"warm-up, and below train.steps={steps}: set {way}, or increase --config.train.steps"
        )
    if optim.decay_factor == 0:
        found.append(
            "optim.decay_factor=0 stops learning at the first of decay_steps: set "
            "--config.optim.decay_factor=0.1"
        )
    return found
