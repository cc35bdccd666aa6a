"""Converts a weight file of another framework to a checkpoint that experiments start from."""

import pathlib
import sys
from typing import Any

from jaxseg import config
from jaxseg.progress import Progress
from jaxseg.training import weight_file
from jaxseg.weights import load
from jaxseg.weights.origins import Origins
from jaxseg.weights.place import Wishes
from jaxseg.workdir import converted


def convert(
    experiment: config.Experiment, file: str, output: pathlib.Path, wishes: Wishes
) -> Origins:
    """Converts a weight file to a checkpoint; returns the origin of each leaf.

    Args:
      experiment: the experiment that will start from it.
      file: the weight file.
      output: the folder to write.
      wishes: the options, such as parts to leave out.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it cannot be read or does not fit, or the folder exists.
    """
    converted.check_new(output)
    paths = load.files_of(file)
    size = sum(path.stat().st_size for path in paths)
    with Progress(size, "checksum", unit="B") as bar:
        digest = converted.checksum(paths, bar.advance)

    def start() -> dict[str, Any]:
        _tell("the model's random start")
        return weight_file.random_start(experiment, wishes.input_channels or weight_file.RGB)

    _tell(f"the tensors of {file}")
    variables, origins = weight_file.from_file(experiment, file, start, wishes)
    origins.notes.insert(0, f"sha256 {digest}, {size:,} bytes")
    _tell(f"the checkpoint {output}")
    report = origins.to_dict() | {"summary": origins.summary(), "sha256": digest}
    labels = weight_file.labels_of_head(experiment, origins)
    converted.save(output, experiment, variables, report, labels)
    return origins


def _tell(stage: str) -> None:
    """Prints which stage begins."""
    print(stage, file=sys.stderr, flush=True)
