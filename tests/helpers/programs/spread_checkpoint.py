"""Saves a state that is spread over devices and restores it on others, whole and damaged."""

import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint


def state_on(devices, axes, seed):
    mesh = jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])
    value = jax.random.normal(jax.random.key(seed), (8, 4))
    placed = jax.device_put(value, NamedSharding(mesh, PartitionSpec(*axes)))
    return TrainState(jnp.int32(seed), {"kernel": placed}, {}, {})


def abstract_of(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def main(folder):
    for saved_on in ((4, ("data",)), (2, (None, "data")), (4, ())):
        run = folder / f"{saved_on[0]}{len(saved_on[1])}"
        with checkpoint.Checkpoints(run, keep=5) as checkpoints:
            for step in (1, 2):
                checkpoints.save(step, state_on(*saved_on, step), {"next": step}, wait=True)
        damaged = folder / f"{run.name}_damaged"
        shutil.copytree(run, damaged)
        shutil.rmtree(damaged / "2" / "state")
        shutil.copytree(damaged / "1" / "state", damaged / "2" / "state")
        for on in ((4, ("data",)), (2, ("data",)), (1, ()), (4, (None, "data"))):
            for place, expected in ((run, 2), (damaged, 1)):
                one = folder / "one"
                shutil.copytree(place, one)
                with checkpoint.Checkpoints(one, keep=5) as checkpoints:
                    state, iterator = checkpoints.restore(abstract_of(state_on(*on, 0)))
                assert iterator["next"] == expected, (saved_on, on, place, iterator)
                whole = np.asarray(state.params["kernel"])
                np.testing.assert_array_equal(
                    whole, np.asarray(state_on(1, (), expected).params["kernel"])
                )
                shutil.rmtree(one)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
