"""Evaluates a split with a protocol: one confusion matrix, and the metrics of each image.

Images are loaded in batches padded to one frame, the network predicts a class for each pixel on the
devices, and only counts [B, K, K] are transferred back. Scores are never stored for more than one
batch; see `jaxseg.inference.views` for the memory required.
"""

import time

import flax.linen as nn
import jax
from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data import frames, loader
from jaxseg.data.augment import mirrored
from jaxseg.evaluation.accumulate import Totals
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.batches import make_batch_predictor
from jaxseg.pixels import Normalisation
from jaxseg.progress import Progress
from jaxseg.runtime import processes
from jaxseg.runtime.mesh import check_split, replicated
from jaxseg.types import Variables


def evaluate(
    model: nn.Module,
    variables: Variables,
    source: loader.Source,
    *,
    protocol: config.Eval,
    normalisation: Normalisation,
    crop: tuple[int, int],
    threads: int = 8,
    mesh: Mesh | None = None,
    progress: bool = True,
    loss: config.Loss | None = None,
) -> Evaluation:
    """Predicts every image of a split and compares its valid pixels with the truth.

    Each image is padded to its own frame (`data.frames`), and images with the same frame form
    batches. So the counts of an image do not depend on the other images of the split, on the batch
    size, on devices, on processes or on the padding of the last batch, and they equal those of the
    predictions that `predict` writes. With several processes, each returns the whole result.

    Args:
      model: returns "logits" [B, H, W, K].
      variables: {"params", "batch_stats"}.
      source: the split; see `loader.open_split`.
      protocol: of the evaluation; its batch size is rounded up to a multiple that the mesh allows.
      normalisation: of the pixels; images are padded with its mean.
      crop: (height, width) of the crops that the model was trained on.
      threads: number of threads that read images in this process.
      mesh: from `mesh.make_mesh`; None means this process alone, on one device.
      progress: whether to show a progress bar.
      loss: if given, the mean of its cross-entropy over the valid pixels is computed as well.

    Raises:
      ValueError: scores are not finite (the message names the images), the number of classes
        differs from the data set's, the protocol is invalid, the split is empty, or several
        processes would run a CRF.
    """
    started = time.monotonic()
    total = min(len(source), protocol.examples or len(source))
    if total == 0:
        raise ValueError("the split to evaluate has no images")
    mirrored.check(source.labels.names, "eval.flip", protocol.flip)
    groups = frames.groups(
        source,
        total,
        frames.Framing(protocol.size, crop),
        batch_size=protocol.batch_size,
        multiple=mesh.shape["data"] if mesh else 1,
        threads=threads,
    )
    batches = loader.eval_batches(
        source,
        groups,
        pad_value=normalisation.mean,
        process_index=jax.process_index() if mesh else 0,
        process_count=jax.process_count() if mesh else 1,
        threads=threads,
    )
    if mesh:
        for group in groups:
            check_split(mesh, group.batch_size, group.frame[0])
    num_classes = source.labels.num_classes
    predict = make_batch_predictor(
        model, protocol, normalisation, num_classes, loss=loss, mesh=mesh
    )
    variables = jax.device_put(variables, replicated(mesh) if mesh else None)
    totals = Totals(num_classes, protocol, mesh)
    hidden = not progress or not processes.is_main()
    with Progress(total, "evaluate", hidden=hidden, leave=False) as bar:
        for batch in batches:
            bar.advance(totals.add(predict(variables, batch)))
            if totals.is_broken:
                break
        bar.advance(totals.finish())
    each_frame = {group.frame: len(group.indices) for group in groups}
    return totals.evaluation(source, time.monotonic() - started, each_frame)
