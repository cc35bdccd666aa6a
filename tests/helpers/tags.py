"""What tensorboardX says about the tags of a run."""

import contextlib
import logging
import pathlib
from collections.abc import Iterator

from jaxseg.workdir import log


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """The messages about illegal tags that are written meanwhile."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, ear = logging.getLogger("tensorboardX.summary"), Ear(logging.INFO)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(ear)
    try:
        yield heard
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


def complaints_of(run: pathlib.Path, again: pathlib.Path) -> list[str]:
    """Those about the tags of a run, all of whose lines are written again."""
    lines = log.read_lines(run / "metrics.jsonl")
    assert {line["kind"] for line in lines} == {"train", "eval"}
    again.mkdir(exist_ok=True)
    with complaints() as heard:
        writer = log.Writer(again, 0)
        for line in lines:
            values = {name: line[name] for name in line.keys() - {"kind", "step", "time"}}
            writer.write(line["kind"], line["step"], values)
        writer.close()
    return heard
