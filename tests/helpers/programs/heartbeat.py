"""One process that watches over others without JAX's help: argv[1] is JSON.

Says "joined" when all are there; then its standard input says how it ends.
"""

import functools
import json
import pathlib
import sys
import time

from jaxseg.runtime import heartbeat
from jaxseg.workdir import saved_steps


class Files:
    """A key-value store in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def _path(self, key):
        return self.folder / key.replace("/", "_")

    def key_value_set(self, key, value):
        scratch = self._path(key + ".new")
        scratch.write_text(value)
        scratch.rename(self._path(key))

    def blocking_key_value_get(self, key, timeout_in_ms):
        end = time.monotonic() + timeout_in_ms / 1000
        while not self._path(key).exists() and time.monotonic() < end:
            time.sleep(0.01)
        return self._path(key).read_text()

    def key_value_delete(self, key):
        self._path(key).unlink()


def main(settings):
    folder = pathlib.Path(settings["folder"])
    watch = heartbeat.Watch(
        settings["process"],
        settings["processes"],
        "127.0.0.1",
        Files(folder),
        timeout=settings["timeout"],
        last_good=functools.partial(saved_steps.last_good, folder / "checkpoints"),
    )
    with watch:
        if settings["process"] == 0:
            while (folder / "jaxseg_heartbeat").exists():
                time.sleep(0.01)
        print("joined", flush=True)
        how = sys.stdin.readline().strip()
        if how == "fail":
            print("failing", flush=True)
            raise ValueError("shard 3 cannot\nbe read")
        if how == "abort":
            import ctypes

            ctypes.CDLL(None).abort()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
