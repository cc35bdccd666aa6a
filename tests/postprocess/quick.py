"""Compiler options of the tests, in which compilation takes far longer than execution."""

import jax

_LEAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _options() -> dict:
    """Turns off XLA's newer emitters of fused loops if possible, which halves the time."""
    options = _LEAST | {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return _LEAST
    return options


QUICK = _options()
