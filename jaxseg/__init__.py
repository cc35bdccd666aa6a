"""Segmentation research in JAX and Flax: training, evaluation, prediction.

`jaxseg.load("runs/NAME").predict("street.jpg")` returns what `jaxseg predict` writes. Networks are
in `jaxseg.models`, losses in `jaxseg.losses`, metrics in `jaxseg.metrics`. Importing `jaxseg`
imports neither these modules nor JAX.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from jaxseg.config import Experiment
    from jaxseg.detector import Detector
    from jaxseg.segmenter import Segmenter

__all__ = ["__version__", "load"]

__version__ = "0.2.0"


def load(
    run_or_weights: "str | os.PathLike[str]",
    *,
    config: "Experiment | str | os.PathLike[str] | None" = None,
    changed_data: bool = False,
) -> "Segmenter | Detector":
    """Opens a trained network for prediction and evaluation: a detector of objects is a `Detector`.

    Args:
      run_or_weights: the folder of a run, whose newest undamaged checkpoint is read; a folder
        written by `jaxseg convert`; or a weight file of another framework.
      config: the experiment that defines the network and its input: an `Experiment`, or the path of
        an experiment file. It is required for a weight file, which holds only tensors, and replaces
        the config of a folder.
      changed_data: use the classes stored with the run even if its data set has different ones now.

    Raises:
      FileNotFoundError: the path does not exist, or holds no checkpoint.
      ValueError: a weight file without `config`; weights that do not fit the network, with the
        differences; a config that cannot be used.
    """
    from jaxseg import segmenter

    return segmenter.load(run_or_weights, config, changed_data=changed_data)
