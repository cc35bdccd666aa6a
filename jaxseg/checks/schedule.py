"""What is wrong with an optimiser's settings and its learning rate over the steps of a run."""

from jaxseg.config import Experiment, Optim


def optimiser_faults(experiment: Experiment) -> list[str]:
    """As `schedule_faults`, and settings that would teach nothing or are of another schedule."""
    settings = experiment.optim
    faults = schedule_faults(settings, experiment.train.steps)
    if settings.learning_rate == 0:
        faults.append(
            "optim.learning_rate=0 leaves the network as it is: set "
            f"--config.optim.learning_rate={Optim.learning_rate}"
        )
    if settings.decay_steps and settings.schedule != "step":
        faults.append(
            f"optim.decay_steps is of the schedule step, and this is {settings.schedule}: set "
            '--config.optim.schedule=step, or --config.optim.decay_steps="()"'
        )
    return faults


def schedule_faults(optim: Optim, steps: int) -> list[str]:
    """What is wrong with the learning rate over the steps of a run, each with its way out."""
    found = []
    if optim.warmup_steps >= max(steps, 1):
        found.append(
            f"optim.warmup_steps={optim.warmup_steps} must be from 0 to below train.steps={steps}: "
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
            f"optim.decay_steps={given} must ascend, each step once (the rate is multiplied by "
            f"decay_factor at each): set --config.optim.decay_steps={once}, and "
            "--config.optim.decay_factor to the product where one step is to count twice"
        )
    within = [step for step in ascending if max(optim.warmup_steps, 1) <= step < steps]
    if within != ascending:
        fitting = ",".join(map(str, within))
        way = f"--config.optim.decay_steps={fitting}" if within else "another schedule"
        found.append(
            f"optim.decay_steps={given} must lie from {max(optim.warmup_steps, 1)}, after the "
            f"warm-up, to below train.steps={steps}: set {way}, or more --config.train.steps"
        )
    if optim.decay_factor == 0:
        found.append(
            "optim.decay_factor=0 ends learning at the first of decay_steps: set "
            "--config.optim.decay_factor=0.1"
        )
    return found
