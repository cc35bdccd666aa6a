"""Checks that all processes of a run were started alike, and names the odd one and the difference.

Each tells the others a digest of what it was started with, and the whole of it is only read where
digests differ. That goes through the store of `jax.distributed`, before anything is computed.
"""

import collections
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

_PREFIX = "jaxseg/alike"
_SHOWN = 3  # differences named
_LONGEST = 160  # characters of a value


class Store(Protocol):
    """What is used of the key-value store that the processes share."""

    def key_value_set(self, key: str, value: str) -> None:
        """Once for each key."""

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        """Waits for the key."""

    def key_value_increment(self, key: str, increment: int) -> int:
        """Adds to a number, which is 0 at first, and returns it."""


def refuse_odd(
    told: Mapping[str, str],
    index: int,
    count: int,
    store: Store,
    *,
    timeout: float,
    all_have_read: Callable[[str], None],
) -> None:
    """Returns when all processes have told the same; every process calls it as often as the others.

    Args:
      told: what this process was started with, by name; "" for what it does not know.
      index: of this process.
      count: of the processes.
      store: shared by them.
      timeout: seconds to wait for the others.
      all_have_read: is called, with a name of this call, before an error ends this process, which
        may hold the store.

    Raises:
      ValueError: names the odd process and what differs; the same in every process.
      TimeoutError: a process does not come; it is named.
    """
    call = store.key_value_increment(f"{_PREFIX}/calls/{index}", 1)
    whole = json.dumps(dict(told))
    store.key_value_set(f"{_PREFIX}/{call}/whole/{index}", whole)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    store.key_value_set(f"{_PREFIX}/{call}/digest/{index}", digest)

    def of(what: str, process: int) -> str:
        key = f"{_PREFIX}/{call}/{what}/{process}"
        try:
            return store.blocking_key_value_get(key, int(1000 * timeout))
        except Exception as error:  # JAX raises its own
            raise TimeoutError(
                f"process {process} of {count} has not said within {timeout:g} s what it was "
                "started with: look into its log, and start all with the same command"
            ) from error

    digests = [of("digest", process) for process in range(count)]
    if len(set(digests)) == 1:
        return
    texts = {one: of("whole", digests.index(one)) for one in dict.fromkeys(digests)}
    all_have_read(f"{_PREFIX}/{call}/read")
    if found := odd_processes([json.loads(texts[one]) for one in digests]):
        raise ValueError(found)


def odd_processes(told: Sequence[Mapping[str, str]]) -> str:
    """The processes that differ from most of the others (of two: from process 0), and in what.

    Args:
      told: of each process, value by name; what one of them does not know, "", is not compared.
    """
    odd: dict[int, list[str]] = {}
    for name in dict.fromkeys(name for one in told for name in one):
        values = [one.get(name, "nothing") for one in told]
        if "" in values or len(set(values)) == 1:
            continue
        usual = collections.Counter(values).most_common(1)[0][0]
        for process, value in enumerate(values):
            if value != usual:
                line = f"{name} is {value[:_LONGEST]}, elsewhere {usual[:_LONGEST]}"
                odd.setdefault(process, []).append(line)
    parts = []
    for process, lines in odd.items():
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        parts.append(f"in process {process}, {'; '.join(lines[:_SHOWN])}{more}")
    if not parts:
        return ""
    return (
        f"the {len(told)} processes were not started alike: {'. '.join(parts)}. Start all of them "
        "with the same command, code and data"
    )
