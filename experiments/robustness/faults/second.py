"""A second training in the folder of a running one is refused; an evaluation of it is not."""

import signal
from typing import Any

from experiments.robustness.faults import ends, process, small
from experiments.robustness.faults.process import Place


def drill(place: Place) -> dict[str, Any]:
    """Starts the same command again, and an evaluation, while the first is paused by SIGSTOP."""
    run = place.folder / "second"
    command = place.training(run, "--config.train.eval_every=0")
    first = process.start(command)
    process.wait_until(first, lambda: bool(ends.steps(run)))
    first.send_signal(signal.SIGSTOP)  # it is running, and remains so however long the others take
    refused = process.finish(process.start(command), place)
    evaluated = process.finish(process.start([*command, "--mode=evaluate"]), place)
    goes_on = first.poll() is None
    first.send_signal(signal.SIGCONT)
    ended = process.finish(first, place)
    end = ends.compare(run, place.undisturbed(small.STEPS)) if not ended.status else {}
    return {
        "passed": refused.one_error
        and "in use by" in refused.errors[0]
        and evaluated.status == 0
        and goes_on
        and bool(end.get("same_bits")),
        "said": refused.errors,
        "evaluation_status": evaluated.status,
        "first_still_went_on": goes_on,
        "end": end,
    }
