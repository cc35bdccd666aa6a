"""Runs the trainings of a sweep on Kubernetes: one JobSet, with one index per training.

The manifest is derived from the GPU variant of launch/gke.yaml, so that image, volume and nodes are
set in one place. Each training gets one GPU. The volume with checkout, data and runs is mounted at
the path of this checkout, so that the paths of the sweep are valid in the containers.
"""

import copy
import hashlib
import pathlib
import re
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from jaxseg import whole_file
from jaxseg.errors import counted
from jaxseg.train import STOPPED
from launch.pool import Task

TEMPLATE = pathlib.Path(__file__).with_name("gke.yaml")
RETRIES = 2  # of a failed training; stops and lost nodes do not count
WRONG_FLAG = 2
_MOST_NAME = 40  # characters: names of pods, limited to 63, append to it
_GPU = "nvidia.com/gpu"
# The arguments of this script are command lines; runs the one with the index of this pod.
_SCRIPT = 'shift "$JOB_COMPLETION_INDEX" && exec bash -c "exec $1"'


def manifest(tasks: Sequence[Task], jobs: int, image: str, name: str) -> dict[str, Any]:
    """A JobSet that runs each task once.

    Args:
      tasks: at least one; their folders are below the working directory.
      jobs: how many run at the same time.
      image: of the container, with Python and requirements.txt.
      name: for the JobSet, derived from the folder.

    Raises:
      ValueError: a folder is elsewhere, or the checkout's path cannot be a mount path.
    """
    here = pathlib.Path.cwd()
    for task in tasks:
        if not task.folder.resolve().is_relative_to(here):
            raise ValueError(
                f"--backend=gke: {task.folder} lies outside of {here}, which the shared volume "
                "holds: set --workdir to a folder in it"
            )
    if ":" in str(here) or not str(here).isprintable():
        raise ValueError(
            f"--backend=gke: {str(here)!r} cannot be a mountPath of Kubernetes, which takes no "
            "colon and no line break: start the sweep from a checkout elsewhere"
        )
    made = copy.deepcopy(_gpu_variant())
    made["metadata"] = {"name": _dns_name(name)}
    made["spec"]["failurePolicy"] = {"maxRestarts": 0}  # the job itself retries
    (job,) = made["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    spec |= {
        "completions": len(tasks),
        "parallelism": min(jobs, len(tasks)),
        "backoffLimitPerIndex": RETRIES,
        "maxFailedIndexes": len(tasks),  # the others continue
        "podFailurePolicy": {"rules": _pod_rules()},
    }
    del spec["backoffLimit"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    lines = [shlex.join(["python", *task.command[1:]]) for task in tasks]
    container |= {
        "image": image,
        "workingDir": str(here),
        "command": ["bash", "-c", _SCRIPT, "sweep"],
        "args": [line.replace("$", "$$") for line in lines],  # Kubernetes expands $(NAME)
    }
    del container["env"]
    container["resources"]["limits"][_GPU] = 1
    for mount in container["volumeMounts"]:
        if mount["name"] == "shared":
            mount["mountPath"] = str(here)
    return made


def write(tasks: Sequence[Task], jobs: int, image: str | None) -> int:
    """Writes jobset.yaml beside the folders of the tasks and prints how to start it.

    Returns:
      0, the exit status.

    Raises:
      ValueError: there is no image, or the shared volume cannot hold a folder.
    """
    if not image:
        raise ValueError(
            "--backend=gke needs --image=REGISTRY/NAME:TAG: Python with requirements.txt"
        )
    sweep = tasks[0].folder.parent
    name = _dns_name(sweep.name)
    path = sweep / "jobset.yaml"
    sweep.mkdir(parents=True, exist_ok=True)
    whole_file.write_text(
        path, yaml.safe_dump(manifest(tasks, jobs, image, sweep.name), sort_keys=False, width=100)
    )
    file = shlex.quote(str(path))
    print(
        f"{counted(len(tasks), 'training')}, {min(jobs, len(tasks))} at a time: {file}\n"
        f"kubectl delete jobset {name} --ignore-not-found && kubectl apply -f {file}\n"
        f"kubectl get jobs,pods -l jobset.sigs.k8s.io/jobset-name={name}\n"
        "When it has finished, the same launch.sweep command writes the table, and a JobSet of "
        "the remaining trainings."
    )
    return 0


def _gpu_variant() -> dict[str, Any]:
    for document in yaml.safe_load_all(TEMPLATE.read_text()):
        if document["metadata"]["labels"].get("variant") == "gpu":
            return document
    raise ValueError(f"{TEMPLATE} has no JobSet with the label variant: gpu")


def _pod_rules() -> list[dict[str, Any]]:
    """Pods that were stopped or lost their node restart; pods with a wrong command do not."""
    return [
        {"action": "Ignore", "onExitCodes": _exit_codes(STOPPED)},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailIndex", "onExitCodes": _exit_codes(WRONG_FLAG)},
    ]


def _exit_codes(status: int) -> dict[str, Any]:
    return {"containerName": "jaxseg", "operator": "In", "values": [status]}


def _dns_name(name: str) -> str:
    """A name that Kubernetes allows; truncated names are kept distinct by a hash."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "sweep"
    if len(plain) > _MOST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:6]
        plain = f"{plain[: _MOST_NAME - 7].strip('-')}-{digest}"
    return f"s-{plain}" if plain[0].isdigit() else plain
