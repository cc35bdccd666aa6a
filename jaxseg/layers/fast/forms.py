"""The choice between the plain form of an operation, its definition, and an equal, faster form."""

import jax

FORMS = ("auto", "plain", "fast")


def use_fast(form: str, auto: bool) -> bool:
    """Returns whether to run the fast form.

    Args:
      form: "plain" (the definition in lax), "fast" or "auto".
      auto: the choice for "auto", which callers base on backend, static shapes and measurements.

    Raises:
      ValueError: `form` is unknown.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}: it must be one of {', '.join(FORMS)}")
    return auto if form == "auto" else form == "fast"


def on_cpu() -> bool:
    """Returns whether programs are compiled for the CPU by default."""
    return jax.default_backend() == "cpu"
