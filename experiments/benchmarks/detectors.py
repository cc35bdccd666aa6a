r"""Whole detectors beside torchvision's: a training step and inference, CPU time of one thread.

    PYTHONPATH=.judges/torchvision/site LD_LIBRARY_PATH=.judges/torchvision/stubs \
        python -m experiments.benchmarks.detectors --output=experiments/results/detectors.json

r50 is torchvision's maskrcnn_resnet50_fpn of 91 classes on 2 images of 512 x 512, r18 the network
of experiments/mask_rcnn/penn_fudan_small.py on 4 of 224 x 224. Both sides take turns in one process
on one processor; what counts is the least CPU time, as in `detection_ops`.

Both start from the same random weights and see the same images and objects, so proposals and
detections are the same ones. There are so many objects that every RoI of the sample is filled, a
quarter of them positive: torchvision computes masks of positive RoIs alone, ours has a fixed number
of places. The numbers of RoIs that each side's heads see are compared and recorded.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchvision
from absl import app, flags

from experiments.benchmarks import detector_twins, timing
from experiments.mask_rcnn import penn_fudan_small
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models.compat_detection import torchvision_mask_rcnn
from jaxseg.pixels import normalise
from jaxseg.runtime import memory
from jaxseg.training import step
from jaxseg.types import Objects
from jaxseg.weights import match
from jaxseg.weights.tables import torchvision_detection

_CASES = flags.DEFINE_list("case", [], "Cases; default all.")
_ROUNDS = flags.DEFINE_integer("rounds", 2, "Rounds; before them each side works once.", 1)
_WAIT = flags.DEFINE_float("wait", 5, "Minutes to wait at most for a quiet machine.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
_CACHE = flags.DEFINE_string("compile_cache", "", "Folder of compiled programs.")

# The most that ours may take of torchvision's CPU time.
TARGETS: Mapping[str, float] = {
    "r18-inference": 0.8,
    "r18-train": 0.8,
    "r50-inference": 0.9,
    "r50-train": 0.9,
}
_OBJECTS = {"r18": 16, "r50": 128}  # of an image
_RATE, _MOMENTUM, _DECAY = 1e-6, 0.9, 1e-4  # a rate at which the numbers stay as they are

Call = Callable[[], Mapping[str, float]]  # does its work once, waits for it, tells its numbers


@dataclasses.dataclass(frozen=True)
class Work:
    """What both sides are given."""

    experiment: config.Experiment
    images: np.ndarray  # uint8 [B, S, S, 3]
    objects: Objects

    @property
    def side(self) -> int:
        """S of the images."""
        return self.images.shape[1]


def work_of(name: str) -> Work:
    """The work of "r50" or "r18"; objects are ellipses on noise."""
    if name == "r18":
        experiment = penn_fudan_small.get_config()
        experiment.data.crop_size = (224, 224)
    else:
        data = config.Data(batch_size=2, crop_size=(512, 512))
        experiment = config.Experiment(torchvision_mask_rcnn(90, 50, Norm()), data=data)
    experiment.optim = config.Optim("sgd", _RATE, "constant", weight_decay=_DECAY)
    experiment.optim.decayed = ("all",)
    batch, size = experiment.data.batch_size, experiment.data.crop_size[0]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    shape = batch, _OBJECTS[name], 2
    sides = np.exp(rng.uniform(np.log(size / 12), np.log(size / 2), shape))
    corner = rng.uniform(0, size - sides)
    boxes = np.concatenate([corner, corner + sides], axis=-1)
    x, y = ((np.arange(size) + 0.5 - boxes[..., k : k + 1]) / sides[..., k : k + 1] for k in (0, 1))
    inside = (x - 0.5)[..., None, :] ** 2 + (y - 0.5)[..., None] ** 2 < 0.25
    classes = np.ones(shape[:2], np.int32)
    truth = Objects(boxes.astype(np.float32), classes, classes > 0, np.packbits(inside, axis=-1))
    return Work(experiment, images, truth)


def theirs(given: Work, network: Any) -> dict[str, Call]:
    """torchvision's calls."""
    images = [torch.tensor(x.transpose(2, 0, 1)).float() / 255 for x in given.images]
    masks = np.unpackbits(given.objects.masks, axis=-1)[..., : given.side]
    targets = [
        {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "masks": torch.tensor(own)}
        for boxes, labels, own in zip(
            given.objects.boxes, given.objects.classes.astype(np.int64), masks, strict=True
        )
    ]
    optimizer = torch.optim.SGD(
        network.parameters(), _RATE, momentum=_MOMENTUM, weight_decay=_DECAY
    )
    counts = detector_twins.counting(network)

    def train() -> Mapping[str, float]:
        network.train()
        loss = sum(network(images, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()} | counts

    def infer() -> Mapping[str, float]:
        network.eval()
        with torch.inference_mode():
            network(images)
        return dict(counts)

    return {"train": train, "inference": infer}


def variables_of(model: Any, network: Any) -> Any:
    """The torch network's values as ours."""
    state = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
    )
    return jax.tree.map(jnp.array, match.fill(state, shapes, torchvision_detection.detector(state)))


def ours(given: Work, variables: Any) -> dict[str, Call]:
    """Our calls; the state of the training step is donated, as in `jaxseg.train`."""
    experiment = given.experiment
    model, pixels = experiment.model, experiment.data.normalisation
    sizes = np.tile(np.array([given.side] * 2, np.int32), (len(given.images), 1))
    batch = jax.device_put({"image": given.images, "size": sizes} | given.objects._asdict())
    optimizer, rate = step.make_optimizer(experiment)
    state = jax.jit(functools.partial(step.init_state, experiment, optimizer))()
    state = state.replace(**jax.tree.map(jnp.copy, variables))
    update = jax.jit(step.make_train_step(experiment, optimizer, rate), donate_argnums=0)

    @jax.jit
    def infer_of(variables: Any, image: jax.Array, sizes: jax.Array) -> Any:
        return model.apply(variables, normalise(image, pixels), sizes=sizes, train=False)

    def train() -> Mapping[str, float]:
        nonlocal state
        state, metrics = jax.block_until_ready(update(state, batch))
        return {"loss": float(metrics["loss"])}

    def infer() -> Mapping[str, float]:
        found = jax.block_until_ready(infer_of(variables, batch["image"], batch["size"]))
        return {"mask_rois": int(found["valid"].sum())}

    return {"train": train, "inference": infer}


def sampled(given: Work, variables: Any) -> dict[str, float]:
    """Numbers of RoIs that our heads are trained on, and of the positive ones among them."""
    experiment = given.experiment

    @jax.jit
    def count(variables: Any, image: jax.Array, objects: Objects) -> tuple[jax.Array, jax.Array]:
        outputs, _ = experiment.model.apply(
            variables,
            normalise(image, experiment.data.normalisation),
            objects=objects,
            train=True,
            mutable=["batch_stats"],
            rngs={"sampling": jax.random.key(0)},
        )
        return outputs["roi_valid"].sum(), (outputs["roi_classes"] > 0).sum()

    rois, positive = count(variables, given.images, given.objects)
    return {"rois": int(rois), "mask_rois": int(positive)}


def measure(name: str, steps: list[str]) -> dict[str, Any]:
    """Times the steps of one network; what was measured for each case."""
    given = work_of(name)
    network = detector_twins.twin_of(given.experiment.model, given.side, given.side)
    images = torch.tensor(given.images.transpose(0, 3, 1, 2)).float() / 127.5 - 1
    detector_twins.scatter_weights(network, images)
    network.transform.image_mean = network.transform.image_std = [0.5] * 3  # as ours
    variables = variables_of(given.experiment.model, network)
    sides = {"torchvision": theirs(given, network), "jaxseg": ours(given, variables)}
    record = {}
    for kind in steps:
        calls = {side: calls[kind] for side, calls in sides.items()}
        numbers = {side: dict(call()) for side, call in calls.items()}
        if kind == "train":
            numbers["jaxseg"] |= sampled(given, variables)
        cpu: dict[str, list[float]] = {side: [] for side in calls}
        for _ in range(_ROUNDS.value):
            for side, call in calls.items():
                cpu[side].append(timing.timed(call)[1])
        least = {side: min(seconds) for side, seconds in cpu.items()}
        ratio, target = least["jaxseg"] / least["torchvision"], TARGETS[f"{name}-{kind}"]
        met = round(ratio, 2) <= target
        told = ", ".join(f"{side} {seconds:.3f}" for side, seconds in least.items())
        print(
            f"{name}-{kind:10} {told}: {ratio:.2f} (at most {target:g}{'' if met else ': MISSED'})"
        )
        for side, found in numbers.items():
            print(f"    {side:12}", ", ".join(f"{key} {value:.6g}" for key, value in found.items()))
        record[f"{name}-{kind}"] = {
            "cpu": cpu,
            "cpu_ratio": ratio,
            "target": target,
            "met": met,
            "numbers": numbers,
        }
    return record


def main(arguments: list[str]) -> None:
    """All cases, one after the other; what is measured is written after each network."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    cases = _CASES.value or list(TARGETS)
    if unknown := [case for case in cases if case not in TARGETS]:
        raise app.UsageError(f"--case={unknown[0]}: one of {', '.join(TARGETS)}")
    if _CACHE.value:
        jax.config.update("jax_compilation_cache_dir", _CACHE.value)
    load = timing.wait_until_quiet(_WAIT.value)
    where = timing.environment()
    where["versions"] |= {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(f"{where['processor']}, one thread, load at the start {load:.2f}; CPU seconds")
    record: dict[str, Any] = {"environment": where, "load": load, "threads": 1, "cases": {}}
    for name in dict.fromkeys(case.partition("-")[0] for case in cases):
        steps = [case.partition("-")[2] for case in cases if case.startswith(f"{name}-")]
        record["cases"] |= measure(name, steps)
        if _OUTPUT.value:
            timing.write(_OUTPUT.value, record)


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX starts its threads
    torch.set_num_threads(1)
    memory.keep_freed("cpu")
    app.run(main)
