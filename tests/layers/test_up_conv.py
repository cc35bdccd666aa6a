"""The up step of a U-Net: its forms against the definition in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.layers import up_conv as up_conv_module
from jaxseg.layers.up_conv import up_conv

# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def _by_loops(x, skip, kernel):
    u = x.repeat(2, axis=1).repeat(2, axis=2)
    u = u if skip is None else np.concatenate([u, skip], axis=-1)
    u = np.pad(u, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = u.shape[1] - 2, u.shape[2] - 2
    return sum(
        u[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    )


@pytest.mark.parametrize(("skips", "many"), [(0, 64), (2, 64), (2, 3)])
def test_forms_in_value_and_gradient(skips, many, monkeypatch):
    """The fast form is a transposed convolution, or nine products if 3 channels count as many."""
    monkeypatch.setattr(up_conv_module, "_MANY", many)
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


def test_nine_products_are_used_for_many_channels_in_full_precision():
    def products(channels, dtype):
        x, kernel = jnp.zeros((1, 4, 5, channels), dtype), jnp.zeros((3, 3, channels, 64), dtype)
        text = str(jax.make_jaxpr(lambda x, k: up_conv(x, None, k, form="fast"))(x, kernel))
        return f"[9,20,{channels}]" in text

    assert products(64, "float32")
    assert not products(64, "bfloat16")
    assert not products(32, "float32")
