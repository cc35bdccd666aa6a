"""`--mode=summary`: the layers of a model with their receptive fields and costs.

python -m jaxseg.main --mode=summary --config=experiments/deeplab_v3/voc.py --size=513,513
"""

from collections.abc import Sequence

from jaxseg import config
from jaxseg.inference.views import at_output_stride
from jaxseg.inspection.summary import count, summarize, table
from jaxseg.training.step_memory import step_memory

_MEGABYTE = 1 << 20
_NOTES = """
stride: pixels of the image between two outputs. sees: the receptive field in pixels, from the first
to the last one; *: also the whole image, through a mean over the map; all: only the whole image.
parameters: including the bias and the following norm. multiply-adds: for one image, including taps
on padding.
"""


def describe(experiment: config.Experiment, size: Sequence[int], *, memory: bool = False) -> str:
    """The text of `--mode=summary`.

    Args:
      experiment: the model is shown at the output stride of training; if eval.output_stride
        differs, the totals at that stride are added.
      size: (height, width) of the image.
      memory: also compile both steps (minutes for a large model) and report their memory.

    Raises:
      ValueError: the size is not two positive numbers.
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"--size={','.join(map(str, size))} must be height,width")
    height, width = size
    model = experiment.model
    summary = summarize(model, (height, width))
    title = f"{type(model).__name__}, one image of {height} x {width}"
    lines = [title, "", table(summary), _NOTES]
    if experiment.eval.output_stride:
        stride = experiment.eval.output_stride
        dense = summarize(at_output_stride(model, stride), (height, width))
        lines.append(f"evaluated at output stride {stride}: {count(dense.multiply_adds)}")
    if memory:
        sizes = (experiment.data.batch_size, experiment.eval.batch_size)
        found = step_memory(experiment, (height, width))
        for (name, part), batch_size in zip(found.items(), sizes, strict=True):
            peak, rest = (f"{n / _MEGABYTE:,.0f} MiB" for n in (part["peak"], part["temporary"]))
            lines.append(f"{name}, batch {batch_size}: {peak} per device, {rest} of it temporary")
    return "\n".join(lines).rstrip()
