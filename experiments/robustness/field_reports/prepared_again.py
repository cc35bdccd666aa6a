"""A and I. A prepared data set knows its sources, and a killed preparation loses nothing."""

import contextlib
import pathlib
import shutil

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.identity import given, prepared, write_files
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg.data.prepare import prepare

_PREPARED = "tests/data/prepare/test_replace.py::"


def _again(folder: pathlib.Path, order: tuple[int, ...], count: int, word: str) -> Seen:
    write_files(folder / "files")
    prepared("folder/own", folder / "data", *given(folder / "files"))
    write_files(folder / "files", order, count)
    return situation.refusal(
        lambda: prepared("folder/own", folder / "data", *given(folder / "files")),
        word,
        "--overwrite",
    )


def _same_again(folder: pathlib.Path) -> Seen:
    write_files(folder / "files")
    prepared("folder/own", folder / "data", *given(folder / "files"))
    shutil.copytree(folder / "files", folder / "copy")
    said = prepared("folder/own", folder / "data", *given(folder / "copy"))
    return situation.right(said.startswith("Already prepared"), said.split(":")[0])


def _killed_overwrite(folder: pathlib.Path) -> Seen:
    """The old data set has been moved aside, as after a kill; the retry fails."""
    write_files(folder / "files")
    prepared("folder/own", folder / "data", *given(folder / "files"))
    place = prepare.sources.prepared_folder("folder/own", folder / "data")
    place.rename(place.with_name(f"{place.name}.before"))
    (folder / "files" / "masks" / "0.png").write_bytes(b"broken")
    with contextlib.suppress(ValueError, OSError):
        prepared("folder/own", folder / "data", *given(folder / "files"), "--overwrite")
    return situation.right(prepare.sources.is_prepared(place), "the set of before is there")


def _leftovers(folder: pathlib.Path) -> Seen:
    write_files(folder / "files")
    prepared("folder/own", folder / "data", *given(folder / "files"))
    place = prepare.sources.prepared_folder("folder/own", folder / "data")
    (place.parent / f"incomplete.ABC123_{place.name}").mkdir()
    prepared("folder/own", folder / "data", *given(folder / "files"), "--overwrite")
    left = sorted(path.name for path in place.parent.iterdir())
    return situation.right(left == [place.name], f"beside the set lies nothing: {left}")


SITUATIONS = (
    Situation(
        "A",
        "prepare on an existing data set, with other classes",
        "Already prepared, exit 0",
        f"{_PREPARED}test_what_has_changed_is_said_and_replaced_by_overwrite",
        lambda folder: _again(folder, (2, 1, 0), 6, 'class 0 is "ground" in the prepared set'),
    ),
    Situation(
        "A",
        "prepare on an existing data set, with other images",
        "Already prepared, exit 0",
        f"{_PREPARED}test_what_has_changed_is_said_and_replaced_by_overwrite",
        lambda folder: _again(folder, (0, 1, 2), 8, "is new in"),
    ),
    Situation(
        "A",
        "prepare on an existing data set, with a copy of its files",
        "right",
        f"{_PREPARED}test_the_same_again_is_left_alone",
        _same_again,
    ),
    Situation(
        "I",
        "prepare --overwrite killed with the old set aside, and a retry that fails",
        "neither the old data set nor a new one",
        f"{_PREPARED}test_the_next_start_says_what_it_brought_back",
        _killed_overwrite,
    ),
    Situation(
        "I",
        "the scratch folder of a killed preparation",
        "left forever",
        f"{_PREPARED}test_the_next_start_says_what_it_brought_back",
        _leftovers,
    ),
)
