"""Writes docs/bad_input.md: wrong commands and their error messages.

    python -m experiments.readme_tables.bad_input

creates a folder with a small run and faulty files, runs every command of `bad_input_cases` in it,
and writes the page from the output.
"""

import importlib
import os
import pathlib
import shlex
import sys
import tempfile
import textwrap
import traceback

import numpy as np
from PIL import Image

from experiments.readme_tables.bad_input_cases import SECTIONS
from experiments.readme_tables.page import ROOT
from jaxseg import whole_file
from jaxseg.cli import commands

# Imported once, before the commands are forked; none of them starts a thread.
for _name in (
    *("jax", "flax.linen", "optax", "orbax.checkpoint", "grain", "tensorflow_datasets", "cv2"),
    *("jaxseg.models", "jaxseg.train", "jaxseg.evaluate"),
):
    importlib.import_module(_name)

PAGE = ROOT / "docs" / "bad_input.md"
_INTRODUCTION = """\
# Error messages

A command that cannot be carried out ends before it computes anything, with one message that names
the field, flag or file and what to do about it. Exit status: 1 refused or failed, 2 a wrong flag.

Every command on this page was run, and below it stands what it printed:
`python -m experiments.readme_tables.bad_input` writes the page. Here `tiny.py` stands for
`experiments/quickstart.py` on 64 x 64 shapes for four steps, and `runs/a` for a finished run of it.
`--traceback` shows the Python traceback.
"""
_TINY = '''
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
_SMALL = "--name=shapes/tiny --shapes_size=64 --shapes_train=8 --shapes_val=4"
_WIDTH = 100  # columns of the page


def run(command: str) -> tuple[int, str]:
    """Runs a command in a forked process.

    Args:
      command: as it is typed: "jaxseg train --workdir=runs/a".

    Returns:
      The exit status, and what it printed to standard error.
    """
    with tempfile.TemporaryFile("w+") as heard:
        child = os.fork()
        if not child:
            os.dup2(heard.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = shlex.split(command)  # ml_collections reads the overrides there
            os._exit(_status(sys.argv[1:]))
        _, ended = os.waitpid(child, 0)
        heard.seek(0)
        return os.waitstatus_to_exitcode(ended), heard.read()


def _status(arguments: list[str]) -> int:
    try:
        return commands.main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()


def make_folder(folder: pathlib.Path) -> None:
    """Fills the folder in which the commands are run.

    Raises:
      RuntimeError: the run that it needs fails.
    """
    (folder / "experiments").symlink_to(ROOT / "experiments")
    (folder / "tiny.py").write_text(_TINY)
    (folder / "notes.txt").write_text("hi\n")
    (folder / "classes.txt").write_text("ground\nroad\n")
    (folder / "masks" / "notes").mkdir(parents=True)
    (folder / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    ids = np.repeat(np.arange(48)[:, None] // 24, 64, axis=1).astype(np.uint8)
    for name, image, mask in (("a", noise, ids), ("b", noise[::-1], 2 * ids)):
        Image.fromarray(image).save(folder / "photos" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    Image.fromarray(ids[:40]).save(folder / "masks" / "cut.png")
    Image.fromarray(ids).save(folder / "masks" / "alone.png")
    whole = folder / "photos" / "cut.jpg"
    Image.fromarray(noise).save(whole)
    whole.write_bytes(whole.read_bytes()[:1500])
    for command in (f"jaxseg prepare {_SMALL}", "jaxseg train --config=tiny.py --workdir=runs/a"):
        status, said = run(command)
        if status:
            raise RuntimeError(f"{command} ended with {status}: {said}")


def shown(command: str, status: int, said: str) -> str:
    """A command and its message, as the page shows them."""
    lines = [line for line in said.splitlines() if not line.startswith("(--traceback")]
    first = next((i for i, line in enumerate(lines) if line.startswith("jaxseg: ")), 0)
    wrapped = [
        textwrap.fill(
            line, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
        for line in lines[first:]
    ]
    return "\n".join([f"$ {command}", *wrapped, f"[exit {status}]"])


def _tried(command: str, folder: str) -> str:
    status, said = run(command)
    return shown(command, status, said.replace(f"{folder}/", ""))


def page() -> str:
    """Runs everything in a temporary folder; returns the page in Markdown."""
    parts = [_INTRODUCTION]
    before = pathlib.Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            make_folder(pathlib.Path(name))
            for title, listed in SECTIONS.items():
                found = "\n\n".join(_tried(command, name) for command in listed)
                parts.append(f"## {title}\n\n```text\n{found}\n```\n")
        finally:
            os.chdir(before)
    return "\n".join(parts)


def main() -> int:
    """The command line."""
    whole_file.write_text(PAGE, page())
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
