"""docs/bad_input.md: what its tables of flags and values quote is what the program says."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.helpers.commands import rows_of

TEXT = (ROOT / "docs" / "bad_input.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!^## ).*\n?)*)", TEXT, re.MULTILINE))
MAIN = "python -m jaxseg.main"
SMALL = "--config.data.batch_size=4 --config.data.crop_size=65,65 --config.optim.warmup_steps=0"
TINY = '''
"""experiments/quickstart.py on 64 x 64 shapes, for four steps."""
from experiments import quickstart

def get_config():
    built = quickstart.get_config()
    built.data.name, built.data.batch_size, built.data.crop_size = "shapes/tiny", 4, (64, 64)
    built.train.steps, built.train.log_every, built.train.eval_every = 4, 2, 0
    built.train.checkpoint_every, built.train.compile_cache = 2, ""
    built.optim.warmup_steps = 0
    return built
'''


def rows():
    """(command, message, exit status) of jaxseg.main in the sections that need no odd files."""
    for title in ("Flags and fields", "Values"):
        for command, message, status in rows_of(SECTIONS[title]):
            if command.startswith(MAIN):
                yield command, message, status


def as_written(text):
    """A message as the table has it."""
    said = [line for line in text.splitlines() if not line.startswith("(--traceback")]
    start = next((i for i, line in enumerate(said) if line.startswith("jaxseg: ")), len(said))
    return (
        "<br>".join(said[start:])
        .replace("<", "&lt;")
        .replace("&lt;br>", "<br>")
        .replace("|", r"\|")
    )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    (folder / "tiny.py").write_text(TINY)
    (folder / "notes.txt").write_text("hi\n")
    run = [sys.executable, "-m"]
    prepare = "--name=shapes/tiny --shapes_size=64 --shapes_train=8 --shapes_val=4 --data_dir=data"
    for command in (
        [*run, "jaxseg.data.prepare", *prepare.split()],
        [*run, "jaxseg.main", "--config=tiny.py", "--workdir=runs/a"],
    ):
        subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return folder


def environment():
    return os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


def heard(commands, folder):
    lines = [shlex.split(command)[3:] for command in commands]
    program = ROOT / "tests" / "helpers" / "programs" / "said.py"
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env=environment(),
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_quoted_messages_are_those_that_are_said(sandbox):
    """A quote may stand for a longer list with "…"."""
    wanted = list(rows())
    assert len(wanted) > 60
    wrong = []
    found = heard([command for command, _, _ in wanted], sandbox)
    for (command, message, status), (ended, text) in zip(wanted, found, strict=True):
        pattern = re.escape(message).replace("…", ".*")
        if str(ended) != status.strip() or not re.fullmatch(pattern, as_written(text)):
            wrong.append((command, status, message, ended, as_written(text)))
    assert not wrong
