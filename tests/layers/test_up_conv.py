"""The step up of a U-Net: both forms against the definition, spelled out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers.up_conv import up_conv

# Compiling takes far longer than running here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _by_loops(x, skip, kernel):
    u = x.repeat(2, axis=1).repeat(2, axis=2)
    u = u if skip is None else np.concatenate([u, skip], axis=-1)
    u = np.pad(u, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = u.shape[1] - 2, u.shape[2] - 2
    return sum(
        u[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    )


@pytest.mark.parametrize("skips", [0, 2])
def test_both_forms_in_value_and_gradient(skips):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 3))
    skip = rng.normal(size=(2, 6, 8, skips)) if skips else None
    kernel = rng.normal(size=(3, 3, 3 + skips, 5))
    weights = rng.normal(size=(2, 6, 8, 5))
    expected = _by_loops(x, skip, kernel)

    def run(form):
        def objective(x, skip, kernel):
            y = up_conv(x, skip, kernel, form=form)
            return jnp.sum(weights * y), y

        step = jax.value_and_grad(objective, (0, 1, 2) if skips else (0, 2), has_aux=True)
        (_, y), gradients = jax.jit(step, compiler_options=QUICK)(x, skip, kernel)
        return y, gradients

    with jax.enable_x64(True):
        (plain, of_plain), (fast, of_fast) = run("plain"), run("fast")
        np.testing.assert_allclose(plain, expected, atol=1e-12)
        np.testing.assert_allclose(fast, expected, atol=1e-12)
        for one, other in zip(of_plain, of_fast, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-11)
            assert np.abs(one).max() > 0.1
