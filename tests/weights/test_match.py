"""Whatever is not settled exactly once is refused, and one message lists all of it."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table, describe, fill


def _target():
    def leaf(*shape):
        return jax.ShapeDtypeStruct(shape, np.float32)

    return {
        "params": {"conv": {"kernel": leaf(3, 3, 2, 4)}, "norm": {"bias": leaf(4)}},
        "batch_stats": {"norm": {"mean": leaf(4)}},
    }


def _source():
    rng = np.random.default_rng(0)
    return {
        "c.weight": rng.normal(size=(4, 2, 3, 3)).astype(np.float16),
        "n.bias": np.arange(4.0),
        "n.count": np.int64(3),
    }


def _hwio(array):
    return array.transpose(2, 3, 1, 0)


ENTRIES = (
    Entry("c.weight", "params/conv/kernel", _hwio),
    Entry("n.bias", "params/norm/bias"),
)
TABLE = Table(ENTRIES, ignored=("*.count",), constants={"batch_stats/*/mean": 0.5})


def test_each_leaf_gets_its_tensor_in_the_layout_and_type_of_the_target():
    source = _source()
    filled = fill(source, _target(), TABLE)
    kernel = filled["params"]["conv"]["kernel"]
    assert kernel.dtype == np.float32
    assert kernel.flags.c_contiguous
    assert kernel[2, 1, 0, 3] == source["c.weight"][3, 0, 2, 1]
    np.testing.assert_array_equal(filled["params"]["norm"]["bias"], [0, 1, 2, 3])
    np.testing.assert_array_equal(filled["batch_stats"]["norm"]["mean"], [0.5] * 4)
    assert jax.tree.structure(filled) == jax.tree.structure(_target())


def test_all_leftovers_of_both_sides_stand_in_one_error():
    source = _source() | {"extra.weight": np.zeros(2), "more": np.zeros(1)}
    table = Table((ENTRIES[0], Entry("absent", "params/absent/kernel")))
    with pytest.raises(ValueError, match="FILE does not fit the model") as error:
        fill(source, _target(), table, file="FILE")
    message = str(error.value)
    for name in ("extra.weight", "more", "n.bias", "n.count", "absent", "params/absent/kernel"):
        assert name in message
    for name in ("params/norm/bias", "batch_stats/norm/mean"):
        assert name in message
    assert "c.weight" not in message


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (Table((*ENTRIES, ENTRIES[1]), ("*.count",), {"*mean": 0.0}), "n.bias"),
        (Table(ENTRIES, ("n.*",), {"*mean": 0.0}), "n.bias"),
        (Table(ENTRIES, ("*.count",), {"*": 0.0}), "params/conv/kernel"),
    ],
)
def test_twice_used_or_used_and_waived_is_refused(table, name):
    with pytest.raises(ValueError, match="more than once or both") as error:
        fill(_source(), _target(), table)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((5, 2, 3, 3)), r"gives \(3, 3, 2, 5\)"),
        (np.zeros((4, 2)), "cannot be laid out"),
        (np.zeros((4, 2, 3, 3), np.int8), "holds int8"),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_named(array, reason):
    with pytest.raises(ValueError, match=reason) as error:
        fill(_source() | {"c.weight": array}, _target(), TABLE)
    assert "c.weight" in str(error.value)
    assert "params/conv/kernel" in str(error.value)


def test_kept_leaves_stay_and_an_abstract_one_cannot():
    target = _target()
    target["batch_stats"]["norm"]["mean"] = np.full(4, 7, np.float32)
    table = Table(ENTRIES, ("*.count",), kept=("batch_stats/*",))
    filled = fill(_source(), target, table)
    np.testing.assert_array_equal(filled["batch_stats"]["norm"]["mean"], [7] * 4)
    with pytest.raises(ValueError, match="only its shape"):
        fill(_source(), _target(), table)


def test_a_long_list_is_cut_with_its_count():
    source = _source() | {f"extra{i:03}": np.zeros(1) for i in range(50)}
    with pytest.raises(ValueError, match=r"50 tensors of the file .* and 30 more"):
        fill(source, _target(), TABLE)


def test_the_report_names_every_tensor_and_leaf():
    lines = describe(_source(), _target(), TABLE).splitlines()
    assert "c.weight (4, 2, 3, 3) -> params/conv/kernel" in lines
    assert "n.count (ignored)" in lines
    assert "batch_stats/norm/mean = 0.5" in lines
    assert len(lines) == 4


def test_a_divisor_is_used_by_several_entries_and_zero_gives_zeros():
    table = Table(
        (
            ENTRIES[0],
            ENTRIES[1]._replace(divisor="n.count"),
            Entry("n.mean", "batch_stats/norm/mean", divisor="n.count"),
        )
    )
    source = _source() | {"n.mean": np.full(4, 6.0, np.float32)}
    filled = fill(source, _target(), table)
    np.testing.assert_array_equal(filled["batch_stats"]["norm"]["mean"], [2] * 4)
    np.testing.assert_allclose(filled["params"]["norm"]["bias"], np.arange(4) / 3, rtol=1e-6)
    filled = fill(source | {"n.count": np.zeros(1)}, _target(), table)
    np.testing.assert_array_equal(filled["batch_stats"]["norm"]["mean"], [0] * 4)
    del source["n.count"]
    with pytest.raises(ValueError, match=r"1 tensors that the file lacks: n\.count"):
        fill(source, _target(), table)
    with pytest.raises(ValueError, match="a divisor has one value, not 2"):
        fill(source | {"n.count": np.ones(2)}, _target(), table)


PIXELS = Normalisation((120.0, 110.0, 100.0), (1.0, 2.0, 4.0))


def _pixel_table():
    return Table(
        (Entry("w", "params/conv/kernel"),),
        normalisation=PIXELS,
        pixel_kernels=("params/conv/kernel",),
    )


def _pixel_target():
    return {"params": {"conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 3, 2), np.float32)}}}


def test_another_deviation_of_the_pixels_is_folded_into_the_first_kernel():
    """The convolution's sum at the corner of a zero-padded picture, written out, is the same."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 3, 3, 2)).astype(np.float32)
    given = Normalisation(PIXELS.mean, (58.0, 57.0, 56.0))
    (filled,) = jax.tree.leaves(fill({"w": kernel}, _pixel_target(), _pixel_table(), pixels=given))
    image = rng.integers(0, 256, (2, 2, 3))
    wanted, ours = (
        np.einsum("ijc,ijco->o", (image - np.array(p.mean)) / p.std, k[1:, 1:])
        for p, k in ((PIXELS, kernel), (given, filled))
    )
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)
    assert np.abs(filled - kernel).max() > 1


def test_another_mean_of_the_pixels_is_refused_with_the_flag_to_set():
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    given = Normalisation((127.5, 127.5, 127.5), PIXELS.std)
    with pytest.raises(
        ValueError,
        match=r"^FILE .* set --config\.data\.normalisation\.mean=120,110,100 \(or convert it",
    ):
        fill({"w": kernel}, _pixel_target(), _pixel_table(), file="FILE", pixels=given)
    rounded = Normalisation((120.004, 110.0, 99.996), PIXELS.std)
    fill({"w": kernel}, _pixel_target(), _pixel_table(), pixels=rounded)


def test_another_deviation_is_refused_where_no_kernel_can_take_it():
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    table = dataclasses.replace(_pixel_table(), pixel_kernels=())
    given = Normalisation(PIXELS.mean, (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"set --config\.data\.normalisation\.std=1,2,4$"):
        fill({"w": kernel}, _pixel_target(), table, pixels=given)
    fill({"w": kernel}, _pixel_target(), table, pixels=PIXELS)


def test_the_report_begins_with_what_the_network_expects_of_pixels():
    source = {"w": np.zeros((3, 3, 3, 2), np.float32)}
    lines = describe(source, _pixel_target(), _pixel_table()).splitlines()
    assert lines[0] == "pixels: (RGB - (120, 110, 100)) / (1, 2, 4)"


def test_a_tensor_that_the_model_has_built_in_is_compared():
    table = dataclasses.replace(
        TABLE, ignored=("*.count", "half"), built_in={"half": lambda a: bool(np.all(a == 0.5))}
    )
    fill(_source() | {"half": np.full(3, 0.5)}, _target(), table)
    fill(_source(), _target(), table)
    with pytest.raises(ValueError, match=r"1 tensors differ from the constants .*: half"):
        fill(_source() | {"half": np.full(3, 0.25)}, _target(), table)


def test_an_optional_leaf_that_the_model_lacks_is_compared_with_what_is_built_in():
    entry = Entry("half", "params/half/kernel")
    table = dataclasses.replace(
        TABLE,
        entries=(*ENTRIES, entry),
        optional=("params/half/*",),
        built_in={"half": lambda a: bool(np.all(a == 0.5))},
    )
    target = _target()
    fill(_source() | {"half": np.full(3, 0.5)}, target, table)
    with pytest.raises(ValueError, match="differ from the constants"):
        fill(_source() | {"half": np.ones(3)}, target, table)
    target["params"]["half"] = {"kernel": jax.ShapeDtypeStruct((3,), np.float32)}
    filled = fill(_source() | {"half": np.ones(3)}, target, table)
    np.testing.assert_array_equal(filled["params"]["half"]["kernel"], [1, 1, 1])
