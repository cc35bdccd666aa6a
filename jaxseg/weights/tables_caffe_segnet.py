"""Name tables of the released SegNet (alexgkendall/SegNet-Tutorial), a Caffe model."""

import re
from collections.abc import Collection

from jaxseg.weights.match import Entry, Normalisation, Table
from jaxseg.weights.tables_caffe import conv, kernel, layers_of, pixel_kernel, vector

# The released prototxt subtracts no mean.
_PIXELS = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
EPSILON = 1e-9  # of the authors' BN layer, and of the models here


def folded_norm(layer: str, target: str) -> list[Entry]:
    """The authors' BN layer at the path `target`: a factor and a shift.

    In the released weights both have the statistics folded in, and in float32 a norm of mean 0 and
    variance 1 (1 - `EPSILON`, rounded) adds nothing to them: see `NO_STATISTICS`. A snapshot of a
    training has the same names but needs the statistics of each batch; it has to be folded first
    (the authors' compute_bn_statistics.py).
    """
    return [
        Entry(f"{layer}/0", f"params/{target}/scale", vector),
        Entry(f"{layer}/1", f"params/{target}/bias", vector),
    ]


NO_STATISTICS = {"batch_stats/*norm*/mean": 0.0, "batch_stats/*norm*/var": 1.0 - EPSILON}


def segnet(names: Collection[str]) -> Table:
    """The table for `SegNet(classes)`, and for Bayesian SegNet's the same with dropout.

    For training the folded norms say nothing about the features: with norm="batch" they would
    divide by the true deviations of a batch and forget the weights. Fine-tune with norm="frozen".

    Args:
      names: of the blobs in the file.
    """
    entries: list[Entry] = []
    for layer in layers_of(names):
        if layer == "conv1_1_D":
            entries += conv(layer, "classifier")
        elif match := re.fullmatch(r"conv(\d_\d)(_D)?(_bn)?", layer):
            unit, decoder, norm = match.groups()
            place = f"{unit}_D" if decoder else unit
            into = "" if decoder else "backbone/"
            if norm:
                entries += folded_norm(layer, f"{into}norm{place}")
            else:
                layout = pixel_kernel if layer == "conv1_1" else kernel
                entries += conv(layer, f"{into}conv{place}", layout)
    return Table(
        tuple(entries),
        constants=NO_STATISTICS,
        normalisation=_PIXELS,
        pixel_kernels=("params/backbone/conv1_1/kernel",),
    )
