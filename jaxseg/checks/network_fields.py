"""Valid values of the fields that several networks have in common."""

from typing import Any

import jax

from jaxseg.layers import compute, norm
from jaxseg.layers.fast.forms import FORMS

_DTYPES = ("float32", "bfloat16", "float16")  # to compute in
_WORDS = {
    "norm.kind": norm.KINDS,
    "compute.form": FORMS,
} | {f"compute.{kind}": ("", *FORMS) for kind in compute.KINDS}


def _dtypes() -> tuple[str, ...]:
    """The dtypes to compute in; float64 only if JAX's 64-bit mode is on (else it means float32)."""
    wide = jax.dtypes.canonicalize_dtype("float64") == "float64"
    return (*_DTYPES, "float64") if wide else _DTYPES


def fault(path: str, value: Any, task: str) -> str:
    """The requirement that the value of a field violates; "" if there is none.

    Args:
      path: of the field, such as "model.backbone.compute.dtype".
      value: of the annotated type.
      task: of the part that has the field: a detector may have a single class.
    """
    part_and_field = ".".join(path.split(".")[-2:])
    known = _WORDS.get(part_and_field, (value,))
    if path.rpartition(".")[2] == "dtype":
        known = _dtypes()
    if value not in known:
        return f"must be one of {', '.join(word or repr(word) for word in known)}"
    if path == "model.num_classes" and value == 1 and task == "semantic":
        return (
            "must be at least 2, since the background is a class too: with one class every "
            "prediction is correct and nothing is learned"
        )
    return ""
