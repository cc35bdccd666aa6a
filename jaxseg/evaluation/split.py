"""Evaluates a split by a protocol: one confusion matrix, and the numbers of each image.

The way is reader, loader, network, sums: images come in batches of one frame, the network finds a
class for each pixel on the devices, and only counts [B, K, K] come back from there. Scores of a
whole set are never held: see `jaxseg.inference.views` for the bound, which is that of one batch.
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
    """Predicts every image of a split and counts its valid pixels against the truth.

    Each image is padded to its own frame (`data.frames`), and those of one frame make batches. So
    the counts of an image do not depend on the other images of the split, on the batch size, on
    devices, on processes or on the filling up of a last batch; they are those of what `predict`
    writes. With several processes every one of them returns the whole result.

    Args:
      model: gives "logits" [B, H, W, K].
      variables: {"params", "batch_stats"}.
      source: the split; see `loader.open_split`.
      protocol: of the evaluation; its batch size is rounded up to what the mesh can share out.
      normalisation: of the pixels; its mean is also the colour that images are filled up with.
      crop: (height, width) of the crops that the model was trained on.
      threads: that read images, in this process.
      mesh: of `mesh.make_mesh`; None: this process does all of it, on one device.
      progress: show a bar with rate and remaining time.
      loss: whose cross-entropy, the mean over the valid pixels, is wanted as well.

    Raises:
      ValueError: scores that are not finite (the images are named), a class count that is not the
        data set's, a protocol without meaning, an empty split, a CRF on several processes.
    """
    started = time.monotonic()
    total = min(len(source), protocol.examples or len(source))
    if total == 0:
        raise ValueError("the split to evaluate holds no image")
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
