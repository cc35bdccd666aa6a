"""The tables of docs/ablations.md, from the records in experiments/results.

    python -m experiments.readme_tables.ablations [SWEEP ...]

copies the table.json of each folder of a finished sweep to experiments/results, as
ablation_NAME_SIZE.json, and writes the tables of all records into the page.
"""

import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.ablation import ablation, output
from experiments.readme_tables import page
from experiments.readme_tables.page import RESULTS
from jaxseg.workdir.log import write_json

_OF_THE_MACHINE = ("host", "started")


def keep(sweep: pathlib.Path, results: pathlib.Path = RESULTS) -> pathlib.Path:
    """Copies the record of a sweep, without names of the machine.

    Raises:
      ValueError: no table was found, or some of its rows are unfinished.
    """
    try:
        record = json.loads((sweep / "table.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"{sweep} holds no table.json: launch.sweep writes it") from None
    if record["unfinished"]:
        raise ValueError(f"{sweep}: not finished: {', '.join(record['unfinished'])}")
    for name in _OF_THE_MACHINE:
        record["environment"].pop(name, None)
    record["stale"] = []
    path = results / f"ablation_{record['ablation']}_{record['size']}.json"
    write_json(path, record)
    return path


def records(results: pathlib.Path = RESULTS) -> Iterator[dict[str, Any]]:
    """The stored records, by name."""
    for path in sorted(results.glob("ablation_*.json")):
        yield json.loads(path.read_text())


def block(results: pathlib.Path = RESULTS) -> str:
    """The tables, each with its title, rows, agreement with the paper and what was not expected."""
    named = {ablation.slug(name): name for name in ablation.names()}
    parts = []
    for record in records(results):
        name = named.get(record["ablation"], record["ablation"])
        command = f"--ablation={name} --size={record['size']}"
        parts += [
            f"**{record['title']}** (`{command}`)",
            output.short(record),
            record["agreement"],
        ]
        if record["ablation"] in named and (note := ablation.named(name).measured):
            parts.append(note)
    return "\n\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Keeps the records of the sweeps named, then writes the tables of all records."""
    for sweep in arguments:
        try:
            print(keep(pathlib.Path(sweep)))
        except ValueError as error:
            print(f"jaxseg: {error}", file=sys.stderr)
            return 1
    page.write("docs/ablations.md", "ablations", block())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
