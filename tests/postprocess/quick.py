"""How tests compile: compiling takes far longer than running here."""

import jax

_LEAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _options() -> dict:
    """Also without XLA's newer emitters of fused loops, where there is a choice: half the time."""
    options = _LEAST | {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return _LEAST
    return options


QUICK = _options()
