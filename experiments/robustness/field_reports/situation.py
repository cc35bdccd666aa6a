"""A situation: how it is run, and its outcome: a right value, a clear message or a fault."""

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[3]
RIGHT, CLEAR, FAULT = "right value", "clear line", "fault"
_LONGEST_LINE = 600  # limit in characters of a readable line
_TIMEOUT = 300  # seconds for one command


class Fault(Exception):
    """The situation ended in a wrong result, a traceback, or a message that offers no way out."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """The outcome of a situation.

    Attributes:
      outcome: RIGHT or CLEAR.
      text: the checked value, or the printed line.
    """

    outcome: str
    text: str


@dataclasses.dataclass(frozen=True)
class Situation:
    """One input or event that a user encountered.

    Attributes:
      letter: of the subject, "A" to "J"; "K" for those that were added later.
      name: the input, in a few words.
      before: the outcome before this code was fixed; "right" if it was never wrong.
      test: the pytest name of the test that covers it.
      run: creates the situation in an empty folder and returns its outcome. It raises Fault, or
        another error, if that is neither a right value nor a clear line.
      source: the public report behind it, "owner/repository#number"; "" for none.
    """

    letter: str
    name: str
    before: str
    test: str
    run: Callable[[pathlib.Path], Seen]
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


def command(module: str, *arguments: object, timeout: float = _TIMEOUT) -> Ended:
    """Runs `python -m MODULE ARGUMENTS` at the root of the checkout."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def passing(test: str) -> Callable[[pathlib.Path], Seen]:
    """A situation that its test creates and judges, for behaviour of `launch`."""

    def run(folder: pathlib.Path) -> Seen:
        ended = command("pytest", "-q", "-p", "no:xdist", test)
        return right(ended.status == 0, (ended.out.strip().splitlines() or [ended.err])[-1])

    return run


def check(condition: object, text: str) -> None:
    """Raises Fault with the text unless the condition holds."""
    if not condition:
        raise Fault(text)


def right(condition: object, text: str) -> Seen:
    """A right value, if the condition holds.

    Raises:
      Fault: the condition does not hold.
    """
    check(condition, text)
    return Seen(RIGHT, text)


def clear_line(ended: Ended, *words: str) -> Seen:
    """The line with which a command refused the situation.

    Args:
      ended: the command.
      words: must all occur in the message: the file, field or value, and the way out.

    Raises:
      Fault: the command succeeded, printed a traceback, or its message lacks a word.
    """
    check(ended.status != 0, f"exit 0; {ended.out[-300:]}")
    check("Traceback (most recent call last)" not in ended.err, ended.err[-600:])
    start = ended.err.rfind("jaxseg: ")
    check(start >= 0, f"exit {ended.status} without a message: {ended.err[-300:]}")
    message = ended.err[start:].strip()
    return clear_message(message, *words)


def clear_message(message: str, *words: str) -> Seen:
    """Like `clear_line`, for the message of an error raised in this process."""
    missing = [word for word in words if word not in message]
    check(not missing, f"the message lacks {', '.join(missing)}: {message[:_LONGEST_LINE]}")
    first = message.splitlines()[0]
    check(len(first) <= _LONGEST_LINE, f"a line of {len(first)} characters: {first[:200]} ...")
    return Seen(CLEAR, " / ".join(message.splitlines()[:3])[:_LONGEST_LINE])


def refusal(of: Callable[[], object], *words: str) -> Seen:
    """The message of the ValueError or OSError with which a call in this process refuses.

    Raises:
      Fault: nothing was raised, or the message lacks a word.
    """
    try:
        result = of()
    except (ValueError, OSError) as error:
        return clear_message(str(error), *words)
    raise Fault(f"nothing was refused; it returned {result!r:.200}")
