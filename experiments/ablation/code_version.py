"""Short hashes of the code and of the data that an experiment runs on.

The code consists of everything that `jaxseg.train`, `jaxseg.evaluate` and the experiment's classes
and data set import; it excludes other models, the report and the docs. Comments, docstrings and
layout do not count.
"""

import ast
import functools
import hashlib
import pathlib
from collections.abc import Iterator

import jaxseg
from jaxseg import config
from jaxseg.data import fingerprint, source

_ROOT = pathlib.Path(jaxseg.__file__).resolve().parent.parent
_STARTS = ("jaxseg.train", "jaxseg.evaluate")
_DIGITS = 10


def of(experiment: config.Experiment) -> str:
    """Hash of the modules that an experiment runs on."""
    classes = set(_classes(config.to_dict(experiment)))
    builder = f"jaxseg.data.builders.{experiment.data.name.partition('/')[0]}"
    return _digest(tuple(sorted({*_STARTS, *classes, builder})))


def of_data(data: config.Data) -> str:
    """Hash of a prepared data set: splits, classes, examples; "" if it has not been prepared.

    Preparing the data set changes this hash, so prepare it before making a plan.
    """
    folder = source.prepared_folder(data.name, data.data_dir)
    kept = ("dataset_info.json", "metadata.json", fingerprint.FILE)
    found = [folder / name for name in kept if (folder / name).is_file()]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in found))
    return digest.hexdigest()[:_DIGITS] if found else ""


def modules(starts: tuple[str, ...]) -> list[str]:
    """The given modules and all modules of jaxseg that they import, directly or indirectly."""
    seen: set[str] = set()
    ahead = [name for name in starts if _file(name)]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += _imports(name)
    # A package's own code counts, but not what it imports only to re-export it, such as all models.
    parts = (name.split(".") for name in seen)
    packages = {".".join(part[:n]) for part in parts for n in range(1, len(part))}
    return sorted(seen | packages)


def _classes(values: object) -> Iterator[str]:
    """The modules of the classes in a config as JSON."""
    if isinstance(values, dict):
        for key, value in values.items():
            if key == "class":
                yield value.partition(":")[0]
            else:
                yield from _classes(value)
    elif isinstance(values, list):
        for value in values:
            yield from _classes(value)


@functools.cache
def _digest(starts: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in modules(starts):
        digest.update(f"{name}\n{_code(name)}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def _file(module: str) -> pathlib.Path | None:
    """The source file of a module of this project; None for any other module."""
    path = _ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if module.partition(".")[0] == "jaxseg" and file.is_file():
            return file
    return None


@functools.cache  # modules are shared by most experiments of a table
def _code(module: str) -> str:
    return ast.dump(_parsed(module))


@functools.cache
def _parsed(module: str) -> ast.Module:
    """The syntax tree without docstrings."""
    file = _file(module)
    assert file is not None
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = node.body[1:]
    return tree


@functools.cache
def _imports(module: str) -> list[str]:
    names: set[str] = set()
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            given = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if _file(name) else node.module for name in given}
    return sorted(name for name in names if _file(name))
