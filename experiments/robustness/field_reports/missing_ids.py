"""G. Masks with ids that the class file lacks: the message names the line to add."""

import functools
import pathlib

import numpy as np
from PIL import Image

from experiments.robustness.field_reports.situation import Seen, Situation, refusal, right
from jaxseg.data.builders import folder
from jaxseg.data.pairing import pairs


def _own(root: pathlib.Path, classes: str, ids: tuple[int, ...]) -> Seen | str:
    """The message that refuses a pair with such a mask; "" if it is accepted."""
    for name, array in (
        ("images/a.png", np.zeros((6, 8, 3), np.uint8)),
        ("masks/a.png", np.resize(np.array(ids, np.uint8), (6, 8))),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)
    (root / "classes.txt").write_text(classes)
    config = folder.FolderConfig(
        name="own",
        images=str(root / "images"),
        masks=str(root / "masks"),
        classes=str(root / "classes.txt"),
    )
    try:
        pairs.check(folder.find(config), root / "journal")
    except ValueError as error:
        return str(error)
    return ""


def _line_to_add(
    classes: str, mended: str, ids: tuple[int, ...], words: tuple[str, ...], root: pathlib.Path
) -> Seen:
    """The message names the line to add, and the file with that line is accepted."""
    before, after = root / "before", root / "after"
    seen = refusal(lambda: _raise(str(_own(before, classes, ids))), *words)
    right(not _own(after, mended, ids), "the line fixes it")
    return seen


def _raise(message: str) -> None:
    if message:
        raise ValueError(message)


_LINES = (
    (
        "masks of 0 and 255 for two classes",
        "ground\nvessel\n",
        "0 ground\n255 vessel\n",
        (0, 255),
        ("`0 ground` and `255 vessel`", "`void`"),
    ),
    (
        "VOC's 255 in masks, names alone",
        "a\nb\n",
        "a\nb\nvoid\n",
        (0, 1, 255),
        ("if 255 is void, add the line `void`",),
    ),
    (
        "VOC's 255 in masks, names with ids",
        "0 a\n1 b\n",
        "0 a\n1 b\n255 void\n",
        (0, 1, 255),
        ("add the line `255 void`",),
    ),
)

SITUATIONS: tuple[Situation, ...] = (
    *(
        Situation(
            "G",
            name,
            "holds ids that no class has: 255; no way out was named",
            "tests/data/pairing/test_own_files.py::test_ids_that_no_class_has_name_the_line_to_add",
            functools.partial(_line_to_add, classes, mended, ids, words),
        )
        for name, classes, mended, ids, words in _LINES
    ),
)
