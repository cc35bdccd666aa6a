"""Which form of an operation runs: its plain definition, or a faster one that is equal to it."""

import jax

FORMS = ("auto", "plain", "fast")


def use_fast(form: str, auto: bool) -> bool:
    """Whether the fast form runs.

    Args:
      form: "plain" (the definition in lax), "fast", or "auto".
      auto: the choice of "auto", made from the backend and static shapes by measurement.

    Raises:
      ValueError: `form` is none of the three.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}: it must be one of {', '.join(FORMS)}")
    return auto if form == "auto" else form == "fast"


def on_cpu() -> bool:
    """Whether programs are compiled for the CPU unless told otherwise."""
    return jax.default_backend() == "cpu"
