"""Damages files: bits, bytes and structures, determined by one number."""

import json
import os
import pathlib
import random
from typing import Any

_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 255, 256, 2**31, 2**63, 10**400, 1e308, -1e-300),
    *("", "text", "é\n\x00", "../../x", "a" * 5000, "jaxseg.config:Train", "os:system"),
    *([], {}, [None], [[]], {"": None}, {"class": "jaxseg.models.fcn:FCN"}),
)
_TEXTS = ("NaN", "Infinity", "1e999", "9" * 5000, "[" * 30_000, "\ufeff", "{", '"', ",", "nul")
LARGEST = 40  # number of bytes inserted at once


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 1, 4, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _put(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice((rng.randbytes(rng.randrange(LARGEST)), b"\x00" * 8, b"\xff" * 8))


def _take(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, LARGEST)]


def _overwrite(rng: random.Random, data: bytearray) -> None:
    at, end = rng.randrange(len(data)), rng.choice((1, 2, 4, 8))
    data[at : at + end] = rng.choice((b"\x00", b"\xff", b"\x7f", rng.randbytes(1))) * end


def _twice(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randrange(1, 400)]


_BYTES = (_flip, _flip, _cut, _put, _take, _overwrite, _overwrite, _twice)


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    """The bytes after one to three kinds of damage."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if changed:
            rng.choice(_BYTES)(rng, changed)
    return bytes(changed)


def _places(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    items = value.items() if isinstance(value, dict) else enumerate(value[:20])
    for key, item in items:
        if isinstance(item, dict | list):
            found += _places(item, (*prefix, key))
        else:
            found.append((*prefix, key))
    return found


def of_json(rng: random.Random, text: str) -> str:
    """The JSON text with one to three values of another type, missing, or under another key."""
    value = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(value)
        if not places:
            break
        *outer, last = rng.choice(places)
        part = value
        for key in outer:
            part = part[key]
        done = rng.random()
        if done < 0.2:
            del part[last]
        elif done < 0.3 and isinstance(part, dict):
            part[rng.choice(("", "x", "class", "é\n"))] = part.pop(last)
        elif done < 0.4:
            part[last] = [part[last]] * rng.choice((1, 2, 3))
        else:
            part[last] = rng.choice(_ODD)
    changed = json.dumps(value)
    if rng.random() < 0.1:
        changed = changed.replace(rng.choice(("1", "0", "null", "{", '"')), rng.choice(_TEXTS), 1)
    return changed


def of_place(rng: random.Random, path: pathlib.Path) -> None:
    """Replaces the file by nothing, a folder, links, a pipe, or an empty file."""
    path.unlink()
    kind = rng.choice(("nothing", "folder", "dangling", "loop", "pipe", "empty"))
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()


def of_file(rng: random.Random, path: pathlib.Path) -> None:
    """Applies one of these kinds of damage to a file."""
    data, chosen = path.read_bytes(), rng.random()
    if chosen < 0.1:
        of_place(rng, path)
    elif chosen < 0.6 and path.suffix in (".json", ".jsonl"):
        lines = data.decode().splitlines() if path.suffix == ".jsonl" else [data.decode()]
        at = rng.randrange(len(lines))
        lines[at] = of_json(rng, lines[at])
        path.write_text("\n".join(lines) + "\n", errors="surrogatepass")
    else:
        path.write_bytes(of_bytes(rng, data))
