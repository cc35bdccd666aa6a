"""Which values the fields have that networks share, whichever network holds them."""

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
    """Those that can be computed in; float64 only where JAX was told so: it would be float32."""
    wide = jax.dtypes.canonicalize_dtype("float64") == "float64"
    return (*_DTYPES, "float64") if wide else _DTYPES


def fault(path: str, value: Any) -> str:
    """What the value of a field must be where it is not; else "".

    Args:
      path: as "model.backbone.compute.dtype".
      value: of the kind that its annotation names.
    """
    part_and_field = ".".join(path.split(".")[-2:])
    known = _WORDS.get(part_and_field, (value,))
    if path.rpartition(".")[2] == "dtype":
        known = _dtypes()
    if value not in known:
        return f"must be one of {', '.join(word or repr(word) for word in known)}"
    if path == "model.num_classes" and value == 1:
        return (
            "must be at least 2, as the ground is a class too: with one class every prediction is "
            "right and nothing is learned"
        )
    return ""
