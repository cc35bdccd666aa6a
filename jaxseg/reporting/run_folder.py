"""Reads a run folder for a report: its content, and notes on what is missing.

Neither the model nor the data set is needed, so that folders of other versions, of runs that are in
progress or were killed, and of weights that were only evaluated can be read.
"""

import ast
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg import renamed
from jaxseg.metrics.matching import Matches
from jaxseg.reporting.run import (
    Picture,
    Run,
    StoredDetection,
    StoredEvaluation,
    what_is_missing,
)
from jaxseg.workdir import eval_folder, files, log, match_file, per_image, schema

_EXPECTED = re.compile(r"Expected(?: and measured)?:\s*(.+?)(?=\n\s*\n|\bMeasured:|$)", re.DOTALL)

# Entries of a record that its parts share.
_ABOUT = ("data", "split", "data_digest", "step", "weights", "environment")


def flatten(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """config.json as ("optim.learning_rate", 0.007) pairs; networks by their class's short name."""
    if not isinstance(values, Mapping):
        yield prefix, values
        return
    for key, value in values.items():
        path = f"{prefix}.{key}" if prefix else key
        if key != "class":
            yield from flatten(value, path)
        elif prefix.rpartition(".")[2] in ("model", "backbone"):
            yield path, str(value).rpartition(":")[2]


def _read_json(path: pathlib.Path, notes: list[str]) -> dict[str, Any]:
    """The JSON object in a file; {} if the file does not exist or, with a note, is damaged."""
    try:
        return files.read_object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        notes.append(f"{_named(path)} cannot be read ({files.why(error)}); it is left out.")
        return {}


def _named(path: pathlib.Path) -> str:
    """The path of the file within its run folder."""
    return f"eval/{path.name}" if path.parent.name == "eval" else path.name


def _checked(
    path: pathlib.Path,
    values: Mapping[str, Any],
    checks: Mapping[str, files.Check],
    notes: list[str],
) -> dict[str, Any]:
    """The values without those of an unexpected type, which are noted."""
    kept, wrong = files.cleaned(values, checks)
    notes += _damaged_parts(path, wrong)
    return kept


def _damaged_parts(path: pathlib.Path, wrong: Sequence[str]) -> list[str]:
    if not wrong:
        return []
    return [f"{_named(path)} is damaged; left out of it: {', '.join(wrong)}."]


def _expected(path: pathlib.Path) -> str:
    """The text after "Expected:" in the docstring of an experiment file, as one line."""
    try:
        text = ast.get_docstring(ast.parse(files.read_bytes(path))) or ""
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    found = _EXPECTED.search(text)
    return " ".join(found[1].split()) if found else ""


def _pictures(
    folder: pathlib.Path, images: Sequence[Mapping[str, Any]], ranked: str, notes: list[str]
) -> list[Picture]:
    """The pictures of the best and the worst images; `ranked` names the number that orders them."""
    found = []
    for path in sorted(folder.glob("*.png")):
        parts = eval_folder.picture_parts(path)
        if parts and not eval_folder.is_picture(path):
            notes.append(f"eval/{folder.name}/{path.name} is damaged; it is left out.")
        elif parts:
            kind, place, name = parts
            of = [
                i for i in images if eval_folder.picture_name(kind, place, i["name"]) == path.name
            ]
            title = of[0]["name"] if of else name
            found.append(Picture(path, kind, place, title, of[0].get(ranked) if of else None))
    return sorted(found, key=lambda picture: (picture.kind, picture.place))


def _per_image(
    path: pathlib.Path, record: Mapping[str, Any], notes: list[str]
) -> per_image.PerImage | None:
    """The per-image counts, if they match the record."""
    try:
        counts = per_image.read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        notes.append(f"{_shown(path)} cannot be read ({files.why(error)}); it is left out.")
        return None
    named = list(counts.names) == [image["name"] for image in record["images"]]
    if named and np.array_equal(counts.confusion(), record["confusion"]):
        return counts
    notes.append(_of_another(path))
    return None


def _matches(path: pathlib.Path, record: Mapping[str, Any], notes: list[str]) -> dict[str, Matches]:
    """The matches of a detector, if they match the record."""
    try:
        arrays = match_file.read(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        notes.append(f"{_shown(path)} cannot be read ({files.why(error)}); it is left out.")
        return {}
    found = {kind: Matches(**fields) for kind, fields in arrays.items()}
    size = len(record["images"]), len(record["names"])
    if set(found) == set(record["metrics"]) and all(
        matches.truth.shape == size for matches in found.values()
    ):
        return found
    notes.append(_of_another(path))
    return {}


def _of_another(path: pathlib.Path) -> str:
    tag = path.stem if path.parent.name == "eval" else path.parent.name
    return (
        f"{_shown(path)} is of another evaluation than eval/{tag}.json; it is left out. "
        "Evaluating again writes both."
    )


def _shown(path: pathlib.Path) -> str:
    """A file of an evaluation from the run folder on: eval/TAG.npz or eval/TAG/classes.npz."""
    above = 1 if path.parent.name == "eval" else 2
    return path.relative_to(path.parents[above]).as_posix()


def _evaluations(
    folder: pathlib.Path, notes: list[str]
) -> tuple[list[StoredEvaluation], list[StoredDetection]]:
    """The evaluations, the newest step first and, within a step, the plainest protocol first."""
    pixels, objects = list[StoredEvaluation](), list[StoredDetection]()
    for path in sorted((folder / "eval").glob("[!.]*.json")):
        values = _read_json(path, notes)
        if not values:
            continue
        detects = values.get("task") == "instance"
        record, wrong = (schema.detection if detects else schema.evaluation)(values)
        notes += _damaged_parts(path, wrong)
        if record is None:
            notes.append(f"eval/{path.name} is not an evaluation of this version; it is left out.")
            continue
        own, npz = path.with_suffix(""), path.with_suffix(".npz")
        pictures = _pictures(own, record["images"], "f1" if detects else "miou", notes)
        if detects:
            matches = _matches(npz, record, notes)
            objects.append(StoredDetection(path.stem, record, pictures, matches))
            pixels += _classes_of_pixels(path, record, notes)
        else:
            counts = _per_image(npz, record, notes)
            pixels.append(StoredEvaluation(path.stem, record, pictures, counts))
    return sorted(pixels, key=_order), sorted(objects, key=_order)


def _classes_of_pixels(
    path: pathlib.Path, record: Mapping[str, Any], notes: list[str]
) -> list[StoredEvaluation]:
    """The evaluation of a detector as a semantic segmentation, if it was asked for."""
    values = record.get("semantic")
    if not isinstance(values, dict):
        return []
    about = {name: record[name] for name in (*_ABOUT, "task") if name in record}
    found, wrong = schema.evaluation(about | values)
    notes += _damaged_parts(path, [f"semantic.{name}" for name in wrong])
    if found is None:
        notes += _damaged_parts(path, ["semantic"])
        return []
    counts = _per_image(path.with_suffix("") / eval_folder.CLASSES, found, notes)
    return [StoredEvaluation(path.stem, found, [], counts)]


def _order(evaluation: StoredEvaluation | StoredDetection) -> tuple[int, int, str]:
    return -(evaluation.record.get("step") or 0), len(evaluation.tag), evaluation.tag


def _lines(path: pathlib.Path, notes: list[str]) -> list[dict[str, Any]]:
    try:
        lines, damaged = log.parse_lines(files.read_bytes(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({files.why(error)}); it is left out.")
        return []
    if damaged:
        notes.append(f"Damaged lines of {path.name} that are left out: {damaged}.")
    return lines


def load(folder: pathlib.Path | str) -> Run:
    """Reads a run folder.

    Raises:
      FileNotFoundError: the folder does not exist or is not a run folder.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the --workdir of a run")
    notes: list[str] = []
    path = folder / "config.json"
    config = _checked(
        path, dict(flatten(renamed.current(_read_json(path, notes)))), schema.CONFIG, notes
    )
    lines = _lines(folder / "metrics.jsonl", notes)
    evaluations, detections = _evaluations(folder, notes)
    path = folder / "environment.json"
    environment = _checked(path, _read_json(path, notes), schema.ENVIRONMENT, notes)
    if not (config or lines or evaluations or detections):
        found = "no config.json, no metrics.jsonl, no eval/*.json"
        raise FileNotFoundError(f"{folder} is not a run folder: {' '.join(notes) or found}")
    data = _read_json(folder / "data.json", notes)
    train = [line for line in lines if line.get("kind") == "train"]
    tests = [line for line in lines if line.get("kind") == "eval"]
    run = Run(
        folder=folder,
        name=folder.resolve().name,
        config=config,
        environment=environment,
        expected=_expected(folder / "experiment.py"),
        train=train,
        tests=tests,
        evaluations=evaluations,
        notes=notes,
        data_digest=_digest(data, config),
        detections=detections,
    )
    notes += what_is_missing(run)
    return run


def _digest(data: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The digest of the evaluation split in data.json (see `identity`); "" if there is none."""
    if data.get("name") != config.get("data.name"):
        return ""
    splits = data.get("splits")
    split = splits.get(config.get("data.eval_split")) if isinstance(splits, dict) else None
    digest = split.get("digest") if isinstance(split, dict) else None
    return digest if isinstance(digest, str) else ""
