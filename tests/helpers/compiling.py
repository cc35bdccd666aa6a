"""How a test compiles whose subject is the rounding of what users run."""

import importlib.metadata

# The optimisations that `tests/conftest.py` leaves out, such as FMA in fused loops.
AS_IT_RUNS: dict[str, int | bool] = {"xla_backend_optimization_level": 3}
if importlib.metadata.version("jaxlib").startswith("0.10."):
    AS_IT_RUNS["xla_cpu_use_fusion_emitters"] = True
