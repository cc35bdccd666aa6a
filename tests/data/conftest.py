"""Small published sets on the disk, and commands run in this process."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from jaxseg.data.prepare import prepare


@pytest.fixture
def command(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Runs a main() with flags: exit status, stdout, stderr."""

    def run(main: Callable, *arguments: object) -> tuple[int, str, str]:
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver():
            left = flags.FLAGS(["command", *map(str, arguments)])
            capsys.readouterr()
            status = main(left)
            text = capsys.readouterr()
        return status, text.out, text.err

    return run


@pytest.fixture(scope="session")
def shapes_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A data_dir with a prepared shapes/small: 23 train, 7 val of 64 x 64."""
    data_dir = tmp_path_factory.mktemp("prepared")
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        flags.FLAGS(["x", "--shapes_size=64", "--shapes_train=23", "--shapes_val=7"])
        prepare.prepare("shapes/small", data_dir)
    return data_dir


def save_pair(image: pathlib.Path, mask: pathlib.Path, index: int, size=(24, 32)) -> np.ndarray:
    """Writes a random image and a mask of ids 0, 1, 2; returns the mask."""
    rng = np.random.default_rng(index)
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(image)
    ids = rng.integers(0, 3, size, dtype=np.uint8)
    Image.fromarray(ids).save(mask)
    return ids


@pytest.fixture
def camvid_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    """CamVid's layout with 4 train and 2 val pairs."""
    root = tmp_path / "CamVid"
    for split, count in (("train", 4), ("val", 2)):
        lines = []
        for i in range(count):
            name = f"{split}{i}.png"
            save_pair(root / split / name, root / f"{split}annot" / name, i + 10 * (split == "val"))
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root
