"""`jaxseg COMMAND --help`: the flags that the command reads, and the fields of an experiment."""

import dataclasses
import subprocess
import sys
import tomllib

import pytest
from absl import flags

from experiments import quickstart
from jaxseg import config
from jaxseg.cli import commands, fields
from jaxseg.cli import help as help_text
from tests.conftest import ROOT


def jaxseg(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "jaxseg", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_the_overview_names_every_command(capsys):
    for asked in (["--help"], ["-h"], []):
        assert commands.main(asked) == 0
        said = capsys.readouterr().out.splitlines()
        assert all(
            any(line.startswith(f"  {name} ") for line in said) for name in commands.COMMANDS
        )
        assert max(map(len, said)) <= 80


def test_the_version_is_told(capsys):
    assert commands.main(["--version"]) == 0
    assert capsys.readouterr().out == "jaxseg 0.2.0\n"


def test_the_package_starts_the_command():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"jaxseg": "jaxseg.cli.commands:main"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trian", "'trian' is not a command of jaxseg: did you mean jaxseg train?"),
        ("evalute", "did you mean jaxseg evaluate?"),
        ("xyz", "the commands are train, evaluate"),
        ("--workdir=runs/x", "jaxseg COMMAND --workdir=runs/x"),
    ],
)
def test_an_unknown_command_gets_one_line(name, words, capsys):
    assert commands.main([name, "--help"]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not said.out


# In a process of its own: other programs define flags of the same names.
FLAGS_OF_MODES = """
from absl import flags
from jaxseg.cli import commands, mode_flags
by_module = flags.FLAGS.flags_by_module_dict()
modules = ("jaxseg.cli.mode_flags", "jaxseg.data.readers.image_limit")
defined = {flag.name for module in modules for flag in by_module[module]}
assert {"mode", *mode_flags.FLAGS} == defined, defined
assert set(mode_flags.READ_BY) < set(mode_flags.FLAGS)
assert set(mode_flags.USAGE) == set(commands.MODES)
assert {mode for modes in mode_flags.READ_BY.values() for mode in modes} <= set(commands.MODES)
"""


def test_the_modes_list_every_flag_of_theirs():
    done = subprocess.run(
        [sys.executable, "-c", FLAGS_OF_MODES], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_help_lists_every_field_with_its_value_and_comment():
    experiment = quickstart.get_config()
    lines = fields.listed(experiment)
    text = "\n".join(lines)
    flat = [(path, value) for path, value in config.flatten(experiment) if path[-5:] != "class"]
    assert len(flat) > 100
    for path, _ in flat:
        assert sum(line.startswith(f"  --config.{path}=") for line in lines) == 1, path
    assert "  --config.data.batch_size=16" in text
    assert "global, over all devices and processes" in text  # on its line
    assert "How views are combined" in text  # above it
    assert "of features; logits are float32" in text or "compute" in text  # of the model's file
    assert "  --config.model.backbone.output_stride=16" in text
    assert max(map(len, lines)) <= 100


def test_fields_are_explained_by_comments_or_by_the_docstring():
    assert fields.meanings(Noted) == {
        "first": "in the docstring, on two lines",
        "second": "on its line",
        "third": "above it, on two lines, and beside it",
        "fourth": "after its value",
    }


@dataclasses.dataclass
class Noted:
    """A class.

    Attributes:
      first: in the docstring,
        on two lines
    """

    first: int = 0
    second: int = 0  # on its line
    # above it,
    # on two lines,
    third: int = 0  # and beside it
    fourth: tuple[int, ...] = (
        1_000_000_001,
        1_000_000_002,
        1_000_000_003,  # after its value
    )
    silent: int = 0


def test_a_flag_is_shown_as_it_is_written():
    values = flags.FlagValues()
    flags.DEFINE_bool("loud", False, "Say it.", flag_values=values)
    flags.DEFINE_enum("kind", "a", ["a", "b"], "Which.", flag_values=values)
    flags.DEFINE_multi_string("word", [], "One.", flag_values=values)
    flags.DEFINE_integer("often", 3, "So many times.", flag_values=values)
    shown = help_text.text("x", "About.", [values[n] for n in ("loud", "kind", "word", "often")])
    assert [" ".join(line.split()) for line in shown.splitlines()[6:10]] == [
        "--[no]loud Say it.",
        "--kind=a|b Which. Default: a.",
        "--word=TEXT One. May be given several times.",
        "--often=N So many times. Default: 3.",
    ]


def test_train_lists_its_own_flags_and_the_fields_as_flags_change_them():
    done = jaxseg(
        *("train", "--config=experiments/quickstart.py", "--config.model.backbone.depth=34"),
        "--help",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: jaxseg train --config=FILE --workdir=FOLDER\n")
    for flag in ("--config=FILE", "--workdir=", "--[no]changed_data", "--config.train.steps=650"):
        assert f"\n  {flag}" in done.stdout
    for flag in ("--inputs", "--size", "--weights", "--mode"):
        assert f"\n  {flag}" not in done.stdout
    assert "--config.model.backbone.depth=34" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_lists_its_flags(name):
    done = jaxseg(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: jaxseg {name} ")
    assert not done.stderr
    foreign = {"doctor": "--overwrite", "prepare": "--augment", "predict": "--size"}
    assert foreign.get(name, "--no_such_flag") not in done.stdout


@pytest.mark.slow
def test_a_flag_of_another_command_is_refused():
    done = jaxseg("doctor", "--name=shapes", "--overwrite")
    assert done.returncode == 2
    assert "overwrite" in done.stderr
    assert done.stderr.count("\n") == 1
