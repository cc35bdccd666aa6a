"""launch/gke.yaml and what launch/jobset.py makes of it: yamllint, Kubernetes' schema, names."""

import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from jaxseg.train import STOPPED
from launch import jobset
from launch.pool import Task
from tests.launch.played import ODD_NAMES

LAUNCH = pathlib.Path(jobset.__file__).parent
KUBERNETES = "1.31"  # the oldest that gke.yaml promises


def variants() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((LAUNCH / "gke.yaml").read_text())
    return {document["metadata"]["labels"]["variant"]: document for document in documents}


def validate(document: dict[str, Any]) -> None:
    """The JobSet as far as its own fields go, and each of its jobs by the schema of Kubernetes."""
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate (requirements/dev.txt)"
    )
    assert document["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert document["kind"] == "JobSet"
    assert set(document["spec"]) <= {"network", "failurePolicy", "replicatedJobs"}
    for job in document["spec"]["replicatedJobs"]:
        assert set(job) == {"name", "replicas", "template"}
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job["name"]}}
        kubernetes_validate.validate(whole | job["template"], KUBERNETES, strict=True)


def job_of(document: dict[str, Any]) -> dict[str, Any]:
    (job,) = document["spec"]["replicatedJobs"]
    return job["template"]["spec"]


def container_of(document: dict[str, Any]) -> dict[str, Any]:
    (container,) = job_of(document)["template"]["spec"]["containers"]
    return container


def tasks(folder: pathlib.Path, names: list[str]) -> list[Task]:
    return [
        Task(name, folder / name, (sys.executable, "-m", "launch.job", str(folder / name)), 10)
        for name in names
    ]


def test_files_pass_yamllint() -> None:
    pytest.importorskip("yamllint", reason="pip install yamllint (requirements/dev.txt)")
    files = sorted(LAUNCH.glob("*.yaml"))
    assert LAUNCH / "gke.yaml" in files
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "-s", "-c", LAUNCH / "yamllint.yaml", *files],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("variant", ["gpu", "tpu"])
def test_variants_fit_the_schema(variant: str) -> None:
    validate(variants()[variant])


def test_the_schema_is_looked_at() -> None:
    document = variants()["gpu"]
    container_of(document)["commandd"] = ["true"]
    with pytest.raises(Exception, match="commandd"):
        validate(document)


@pytest.mark.parametrize("variant", ["gpu", "tpu"])
def test_a_saved_stop_restarts_all_workers(variant: str) -> None:
    document = variants()[variant]
    job = job_of(document)
    rules = job["podFailurePolicy"]["rules"]
    assert rules[0]["onExitCodes"]["values"] == [STOPPED]
    assert rules[0]["onExitCodes"]["containerName"] == container_of(document)["name"]
    assert {rule["action"] for rule in rules} == {"FailJob"}  # whose reason is PodFailurePolicy
    (rule,) = document["spec"]["failurePolicy"]["rules"]
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # which podFailurePolicy asks for
    assert job["completions"] == job["parallelism"]  # all workers are needed at once


def test_the_coordinator_is_the_first_worker_of_the_headless_service() -> None:
    document = variants()["gpu"]
    name, worker = document["metadata"]["name"], document["spec"]["replicatedJobs"][0]["name"]
    env = {entry["name"]: entry["value"] for entry in container_of(document)["env"]}
    assert env["COORDINATOR"].rpartition(":")[0] == f"{name}-{worker}-0-0.{name}"
    assert int(env["PROCESSES"]) == job_of(document)["completions"]


@pytest.mark.parametrize("variant", ["gpu", "tpu"])
def test_the_command_is_one_that_the_program_takes(
    variant: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as a worker runs it, with a `python` that shows what it was given."""
    container = container_of(variants()[variant])
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    env |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": "1"}
    done = subprocess.run(
        [*container["command"], *container["args"]], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    module, *flags = done.stdout.splitlines()[1:]
    assert module == "jaxseg.main"
    given = dict(flag.split("=", 1) for flag in flags)
    assert pathlib.Path(LAUNCH.parent / given["--config"]).is_file()
    if variant == "gpu":
        assert given["--process"] == "1"
        assert given["--processes"] == "2"
    else:
        assert given["--coordinator"] == "auto"


def test_a_sweep_is_one_indexed_job(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = pathlib.Path("runs") / "DeepLab_v3 shapes"
    assert jobset.write(tasks(sweep, ["a 0", "b", "c"]), 2, "image:1") == 0
    document = yaml.safe_load((sweep / "jobset.yaml").read_text())
    validate(document)
    assert document["metadata"] == {"name": "deeplab-v3-shapes"}
    assert "kubectl apply -f 'runs/DeepLab_v3 shapes/jobset.yaml'" in capsys.readouterr().out
    job, container = job_of(document), container_of(document)
    assert (job["completions"], job["parallelism"]) == (3, 2)
    assert container["image"] == "image:1"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["workingDir"] == mounts["shared"] == str(tmp_path)
    ignored = [rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "Ignore"]
    assert ignored[0]["onExitCodes"]["values"] == [STOPPED]
    assert container_of(variants()["gpu"])["image"] != "image:1"


def filled_in(arguments: list[str], environment: dict[str, str]) -> list[str]:
    """Arguments as Kubernetes passes them on: $(NAME) is filled in, $$ is $."""
    return [
        re.sub(
            r"\$(\$|\((\w+)\))",
            lambda m: "$" if m[1] == "$" else environment.get(m[2], m[0]),
            argument,
        )
        for argument in arguments
    ]


def test_each_index_runs_its_own_task(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a 0", "b", "c", *ODD_NAMES]
    made = jobset.manifest(tasks(pathlib.Path("runs/x"), names), 1, "i", "x")
    container = container_of(yaml.safe_load(yaml.safe_dump(made)))
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    for index, name in enumerate(names):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run(
            filled_in([*container["command"], *container["args"]], environment),
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"-m|launch.job|runs/x/{name}|", done.stderr


def test_a_checkout_that_cannot_be_mounted_by_its_name_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a:b", "a\nb"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with pytest.raises(ValueError, match="cannot be a mountPath"):
            jobset.manifest(tasks(pathlib.Path("runs"), ["a"]), 1, "i", "x")


def test_names_are_those_that_kubernetes_takes() -> None:
    long = "deeplab_v3_table_1_of_the_paper_and_more_than_that"
    names = [jobset._dns_name(name) for name in (long + "_a", long + "_b", "3_rows", "_", "A.b")]
    assert len(set(names)) == len(names)
    assert all(len(name) <= jobset._MOST_NAME for name in names)
    assert names[2:] == ["s-3-rows", "sweep", "a-b"]


def test_what_is_missing_is_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="--image=REGISTRY/NAME:TAG"):
        jobset.write(tasks(tmp_path / "x", ["a"]), 1, None)
    with pytest.raises(ValueError, match=r"lies outside of .*set --workdir"):
        jobset.write(tasks(tmp_path.parent / "elsewhere", ["a"]), 1, "image")
