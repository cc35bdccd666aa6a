"""Lists the steps that a run has saved, from the names of its folders; nothing is opened.

Orbax names the folder of a step by its number once the step is complete. Before that, and after it
has been set aside as damaged, the folder has another name.
"""

import pathlib


def saved_steps(checkpoints: pathlib.Path) -> list[int]:
    """The complete steps in a folder of checkpoints, ascending; empty without a folder."""
    return sorted(int(path.name) for path in checkpoints.glob("[0-9]*") if path.name.isdigit())


def newest(checkpoints: pathlib.Path) -> int:
    """The newest complete step; 0 if there is none."""
    return max(saved_steps(checkpoints), default=0)


def last_good(checkpoints: pathlib.Path) -> str:
    """Names the newest complete checkpoint, for the last line of a run that fails."""
    steps = saved_steps(checkpoints)
    if not steps:
        return "no checkpoint was saved"
    return f"the last good checkpoint is {checkpoints / str(steps[-1])}"
