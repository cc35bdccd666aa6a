"""Damaged class files in every supported format."""

import pathlib
import random

from experiments.robustness.fuzz import harm
from jaxseg.data.readers import class_file

_FORMS = {
    "a.txt": "sky\nroad\nvoid\n",
    "b.txt": "0 sky\n1 road\n255 void\n",
    "c.txt": "sky 70 130 180\nroad 128 64 128\nvoid 0 0 0\n",
    "d.txt": "sky #4682b4\nroad #804080\n",
    "e.csv": "id,name,r,g,b\n0,sky,70,130,180\n1,road,128,64,128\n",
    "f.csv": "name,r,g,b\nsky,70,130,180\nroad,128,64,128\n",
    "g.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\n",
    "h.json": '["sky", "road"]\n',
    "i.json": '{"categories": [{"id": 1, "name": "sky"}, {"id": 2, "name": "road"}]}\n',
    "j.json": '[{"id": 0, "name": "sky", "color": [70, 130, 180]}, {"id": 1, "name": "road"}]\n',
}
_PARTS = (
    "\ufeff",
    "\r\n",
    "\t",
    "\x00",
    ",",
    ";",
    ":",
    "#",
    " ",
    "256",
    "-1",
    "void",
    "é",
    "1e3",
    "name",
    "id",
    "sky",
    '"',
    "#fff",
    "0,0,0",
)


def use(number: int, folder: pathlib.Path) -> None:
    """Reads the file with this number.

    Raises:
      ValueError, OSError: the file is refused; the message names it.
    """
    rng = random.Random(number)
    folder.mkdir(parents=True, exist_ok=True)
    name = rng.choice(sorted(_FORMS))
    text, chosen = _FORMS[name], rng.random()
    if chosen < 0.5:
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(_PARTS) + text[at + rng.choice((0, 0, 1, 3)) :]
        data = text.encode(rng.choice(("utf-8", "utf-8", "utf-16", "utf-8-sig")))
    elif chosen < 0.7 and name.endswith(".json"):
        data = harm.of_json(rng, text).encode(errors="replace")
    else:
        data = harm.of_bytes(rng, text.encode())
    path = folder / name
    path.write_bytes(data)
    try:
        found = class_file.read_classes(path)
    except (ValueError, OSError) as error:
        if str(path) not in str(error):
            raise AssertionError(f"names no file: {error}") from error
        raise
    names = found.labels.names
    assert names
    assert all(isinstance(one, str) and one.strip() for one in names)
