"""Checks that all processes of a run were started alike; else names the odd one and the difference.

Each process publishes a digest of its settings, and the settings themselves are only read if
digests differ. They are exchanged through the store of `jax.distributed`, before anything is
computed.
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
    """The methods used of the key-value store that the processes share."""

    def key_value_set(self, key: str, value: str) -> None:
        """Sets a key, which is allowed once."""

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        """Waits for a key and returns its value."""

    def key_value_increment(self, key: str, increment: int) -> int:
        """Adds to a number, which is initially 0, and returns the sum."""


def refuse_odd(
    told: Mapping[str, str],
    index: int,
    count: int,
    store: Store,
    *,
    timeout: float,
    all_have_read: Callable[[str], None],
) -> None:
    """Returns when all processes have reported the same; all must call it equally often.

    Args:
      told: the settings of this process, by name; "" for unknown values.
      index: of this process.
      count: number of processes.
      store: shared by the processes.
      timeout: seconds to wait for the others.
      all_have_read: a barrier, called with a name unique to this call, before an error ends this
        process, which may host the store.

    Raises:
      ValueError: names the odd process and what differs; the same in every process.
      TimeoutError: a process does not respond; it is named.
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
                f"process {process} of {count} has not reported its settings within {timeout:g} s: "
                "see its log, and start all processes with the same command"
            ) from error

    digests = [of("digest", process) for process in range(count)]
    if len(set(digests)) == 1:
        return
    texts = {one: of("whole", digests.index(one)) for one in dict.fromkeys(digests)}
    all_have_read(f"{_PREFIX}/{call}/read")
    if found := odd_processes([json.loads(texts[one]) for one in digests]):
        raise ValueError(found)


def odd_processes(told: Sequence[Mapping[str, str]]) -> str:
    """Describes which processes differ from the majority (of two: from process 0), and how.

    Args:
      told: the settings of each process, by name; unknown values, "", are not compared.
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
