"""SIGKILL at random moments: during start-up, between steps, in the middle of a save."""

import collections
import pathlib
import random
import signal
import subprocess
import time
from typing import Any

from experiments.robustness.faults import ends, process
from experiments.robustness.faults.process import Place

STEPS = 240
MOMENTS = ("start", "steps", "save")


def _wait(
    run: subprocess.Popen[str],
    folder: pathlib.Path,
    moment: str,
    chance: random.Random,
    start_seconds: float,
) -> None:
    """Waits for a random moment of the given kind, or until the run has ended by itself."""
    if moment == "start":
        time.sleep(chance.uniform(0, start_seconds))
        return
    before = ends.last_logged(folder)
    if moment == "steps":
        wanted = before + chance.randint(1, 6)
        process.wait_until(run, lambda: ends.last_logged(folder) >= wanted)
        time.sleep(chance.uniform(0, 0.1))
        return
    old = set(process.unfinished(folder))  # the run removes it when it starts
    process.wait_until(run, lambda: ends.last_logged(folder) > before)
    process.wait_until(run, lambda: bool(set(process.unfinished(folder)) - old))
    time.sleep(chance.uniform(0, 0.05))


def drill(place: Place, kills: int, seed: int) -> dict[str, Any]:
    """Kills and restarts a run the given number of times, and compares its end with another's."""
    chance = random.Random(seed)
    began = time.monotonic()
    undisturbed = place.undisturbed(STEPS)
    command = place.training(place.folder / "killed", f"--config.train.steps={STEPS}")
    folder = place.folder / "killed"
    moments = [MOMENTS[i % len(MOMENTS)] for i in range(kills)]
    chance.shuffle(moments)
    start_seconds = 0.0
    done: list[dict[str, Any]] = []
    for moment in moments:
        launched = time.monotonic()
        before = ends.last_logged(folder)
        run = process.start(command)
        if not start_seconds:  # of this machine, now
            process.wait_until(run, lambda: ends.last_logged(folder) > 0)
            start_seconds = time.monotonic() - launched
        _wait(run, folder, moment, chance, start_seconds)
        run.send_signal(signal.SIGKILL)
        run.communicate()
        if run.returncode != -signal.SIGKILL:
            done.append({"moment": moment, "status": run.returncode})
            break  # it has ended by itself
        done.append(
            {
                "moment": moment,
                "seconds_after_start": round(time.monotonic() - launched, 2),
                "steps_done": ends.last_logged(folder),
                "new_steps": max(0, ends.last_logged(folder) - before),
                "newest_checkpoint": max(ends.steps(folder), default=0),
                "unfinished_saves": len(process.unfinished(folder)),
            }
        )
    ended = process.finish(process.start(command), place)
    end = ends.compare(folder, undisturbed) if ended.status == 0 else {"lines": ended.lines}
    killed = [kill for kill in done if "status" not in kill]
    return {
        "passed": bool(end.get("same_bits") and end.get("same_log")) and len(killed) == kills,
        "kills": len(killed),
        "by_moment": dict(collections.Counter(kill["moment"] for kill in killed)),
        "with_a_save_on_the_way": sum(kill["unfinished_saves"] > 0 for kill in killed),
        "start_seconds": round(start_seconds, 1),
        "end": end,
        "each": done,
        "seconds": round(time.monotonic() - began),
    }
