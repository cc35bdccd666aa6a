"""What is distributed works by itself: every command of the wheel, in a folder that is not ours."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import zipfile

import pytest
import safetensors.numpy

import jaxseg
from jaxseg.cli import commands
from tests.conftest import ROOT
from tests.weights.torch_names import resnet18_tensors

EXPERIMENT = '''
"""An experiment that imports jaxseg alone."""

from jaxseg import config
from jaxseg.backbones import ResNet
from jaxseg.models import DeepLabV3


def get_config():
    return config.Experiment(
        model=DeepLabV3(
            7,
            ResNet(depth=18, width=16, stem="7x7"),
            aspp=False,
        ),
        data=config.Data(name="shapes/tiny", batch_size=2, crop_size=(64, 64)),
        train=config.Train(steps=2, log_every=1, eval_every=0, pictures=0),
    )
'''
SAME_AS_WRITTEN = """
import pathlib, jaxseg, numpy
from PIL import Image
network = jaxseg.load("run")
for path in pathlib.Path("photos").iterdir():
    written = numpy.asarray(Image.open(f"run/predictions/labels/{path.stem}.png"))
    assert (network.predict(path) == written).all() and written.shape == (64, 64)
print(jaxseg.__file__, network.step, network.classes[0])
"""


def _run(command, cwd, **environment):
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, made of the files of this checkout, and the wheel, made of it."""
    folder = tmp_path_factory.mktemp("built")
    listed = _run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder]
    _run([*build, folder / "source"], folder)
    return folder


@pytest.fixture(scope="module")
def installed(built):
    """The programs of a fresh environment, which has this one's libraries and the wheel."""
    venv = built / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", venv], built)
    place = next((venv / "lib").glob("python*")) / "site-packages"
    (place / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    wheel = next(built.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install"]
    _run([*pip, "--no-deps", "--no-index", "--disable-pip-version-check", wheel], built)
    return venv / "bin"


def _tracked(*folders):
    return set(_run(["git", "ls-files", *folders], ROOT).split("\n")) - {""}


@pytest.mark.slow
def test_the_sdist_holds_all_and_the_wheel_the_package(built):
    name = f"jaxseg-{jaxseg.__version__}"
    with tarfile.open(built / f"{name}.tar.gz") as archive:
        source = {
            pathlib.PurePath(path).relative_to(name).as_posix() for path in archive.getnames()
        }
    folders = (".ci", "docs", "experiments", "jaxseg", "launch", "requirements", "tests")
    assert not _tracked(*folders) - source
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml"} <= source
    with zipfile.ZipFile(built / f"{name}-py3-none-any.whl") as archive:
        names = set(archive.namelist())
        points = archive.read(f"{name}.dist-info/entry_points.txt").decode()
    assert points == "[console_scripts]\njaxseg = jaxseg.cli.commands:main\n"
    assert not _tracked("jaxseg") - names
    assert {path.partition("/")[0] for path in names} == {"jaxseg", f"{name}.dist-info"}


@pytest.mark.long
@pytest.mark.slow
def test_every_command_works_from_another_folder(installed, tmp_path):
    program = installed / "jaxseg"

    def run(*arguments):
        return _run([program, *arguments], tmp_path, PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1")

    assert run("--version") == f"jaxseg {jaxseg.__version__}\n"
    for name in commands.COMMANDS:
        assert run(name, "--help").startswith(f"usage: jaxseg {name} ")
    (tmp_path / "experiment.py").write_text(textwrap.dedent(EXPERIMENT))
    sizes = ("--shapes_size=64", "--shapes_train=8", "--shapes_val=4")
    run("prepare", "--name=shapes/tiny", *sizes, "--export=photos", "--examples=2")
    assert "No problems were found" in run("doctor", "--name=shapes/tiny", "--preview=1")
    run("train", "--config=experiment.py", "--workdir=run")
    assert "mIoU" in run("evaluate", "--workdir=run", "--config.eval.flip=True")
    run("predict", "--workdir=run", "--inputs=photos")
    assert "multiply-adds" in run("summary", "--workdir=run")
    assert "| run" in run("report", "run")
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    safetensors.numpy.save_file(resnet18_tensors(width=16), tmp_path / "resnet18.safetensors")
    run("convert", "resnet18.safetensors", "--config=experiment.py", "--output=start", "--any_mean")
    run(
        *("train", "--config=experiment.py", "--workdir=second"),
        *("--config.train.init_from=start", "--config.train.steps=1"),
    )
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert recorded["versions"]["jaxseg"] == jaxseg.__version__
    assert recorded["git"] == ""
    assert recorded["command"].endswith("bin/jaxseg train --config=experiment.py --workdir=run")
    predictions = tmp_path / "run" / "predictions"
    (predictions / "labels.json").unlink()  # these are not VOC's classes
    voc = ("--server=voc2012", "--images=photos", "--output=test.tgz")
    assert "2 label maps" in run("submission", f"--predictions={predictions}", *voc)
    python = installed / "python"
    said = _run([python, "-c", SAME_AS_WRITTEN], tmp_path, PYTHONPATH="")
    assert said.startswith(str(installed.parent))
    assert said.endswith("2 background\n")


def test_version_changelog_and_citation_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert released[0] == jaxseg.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {jaxseg.__version__}\n" in citation
