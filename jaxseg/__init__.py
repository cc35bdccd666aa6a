"""Semantic segmentation research in JAX and Flax: training, evaluation, prediction.

`jaxseg.load("runs/NAME").predict("street.jpg")` gives what `jaxseg predict` writes. Networks are in
`jaxseg.models`, losses in `jaxseg.losses`, metrics in `jaxseg.metrics`. Importing `jaxseg` alone
imports none of them, nor JAX.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from jaxseg.config import Experiment
    from jaxseg.segmenter import Segmenter

__all__ = ["__version__", "load"]

__version__ = "0.2.0"


def load(
    run_or_weights: "str | os.PathLike[str]",
    *,
    config: "Experiment | str | os.PathLike[str] | None" = None,
    changed_data: bool = False,
) -> "Segmenter":
    """Opens a trained network, to predict and evaluate with it.

    Args:
      run_or_weights: the folder of a run, of which the newest checkpoint that is not damaged is
        read; the folder that `jaxseg convert` wrote; or a weight file of another framework.
      config: the network and how it sees images: an `Experiment`, or the file of one. A weight file
        needs it, since it holds tensors alone; a folder has its own, and this one stands in for it.
      changed_data: take the classes of the run where its data set has other ones by now.

    Raises:
      FileNotFoundError: the path does not exist, or holds no checkpoint.
      ValueError: a weight file without `config`; weights that do not fit the network, with the
        differences; a config that cannot be used.
    """
    from jaxseg import segmenter

    return segmenter.load(run_or_weights, config, changed_data=changed_data)
