"""torchvision's side of `penn_fudan_peer`: python -m experiments.studies.penn_fudan_torch REQUEST.

REQUEST is a JSON file: "data_dir", "seed", "cpu_seconds", and "answer", the JSON file to write. The
images, their order and every augmentation are those of our side, by the same loader. The learning
rate follows the same curve, over the share of the CPU time that is used.
"""

import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torchvision.models import detection

from experiments.benchmarks.detector_twins import twin_of
from experiments.mask_rcnn import penn_fudan_small
from jaxseg import config
from jaxseg.data import instance_loader, instances
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.source import InstanceSource, open_instances
from jaxseg.evaluation import coco


def _given(batch: Mapping[str, np.ndarray]) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
    """A batch of the loader as torchvision takes it: images without padding, objects alone."""
    images, targets = [], []
    for n, (height, width) in enumerate(batch["size"].tolist()):
        image = batch["image"][n, :height, :width].transpose(2, 0, 1)
        images.append(torch.tensor(image).float() / 255)
        there = batch["valid"][n]
        masks = instances.unpacked(batch["masks"][n, there], batch["image"].shape[2])
        targets.append(
            {
                "boxes": torch.tensor(batch["boxes"][n, there]),
                "labels": torch.tensor(batch["classes"][n, there].astype(np.int64)),
                "masks": torch.tensor(masks[:, :height, :width].astype(np.uint8)),
            }
        )
    return images, targets


def rate(optim: config.Optim, step: int, share: float) -> float:
    """The recipe's learning rate after `step` updates, at a share of the time."""
    warm = min(1.0, (step + 1) / max(optim.warmup_steps, 1))
    return optim.learning_rate * warm * max(0.0, 1 - share) ** optim.power


def train(
    model: detection.MaskRCNN, experiment: config.Experiment, source: InstanceSource, seconds: float
) -> int:
    """Trains for so many CPU seconds of this process; the number of steps."""
    data, optim = experiment.data, experiment.optim
    start = time.process_time()
    batches = instance_loader.train_iterator(
        source,
        batch_size=data.batch_size,
        transform=InstanceTransform(data.crop_size, data.instances, data.normalisation.mean),
        seed=experiment.train.seed,
        threads=0,
        prefetch=0,
    )
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=optim.learning_rate,
        betas=(optim.momentum, optim.b2),
        weight_decay=optim.weight_decay,
    )
    model.train()
    model.transform._skip_resize = True  # the loader's images have their size
    step = 0
    while (share := (time.process_time() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(optim, step, share)
        losses = model(*_given(next(batches)))
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 25 == 0:
            print(f"step {step}, {100 * share:.0f} %: loss {loss.item():.3f}", flush=True)
    model.transform._skip_resize = False
    return step


def detect(model: detection.MaskRCNN, source: InstanceSource) -> coco.Detections:
    """The detections of a split, in pixels of its images."""
    found = coco.Detections()
    model.eval()
    for index in range(len(source)):
        image = torch.tensor(source[index]["image"].transpose(2, 0, 1)).float() / 255
        with torch.inference_mode():
            (one,) = model([image])
        boxes, scores, classes = (one[k].numpy() for k in ("boxes", "scores", "labels"))
        found.add(index, boxes, scores, classes, one["masks"][:, 0].numpy() > 0.5)
    return found


def main(request_file: str) -> None:
    """Trains, detects, and writes the answer."""
    request = json.loads(pathlib.Path(request_file).read_text())
    torch.set_num_threads(1)
    torch.manual_seed(request["seed"])
    experiment = penn_fudan_small.get_config()
    experiment.train.seed = request["seed"]
    train_split, val = (
        open_instances(experiment.data.name, split, request["data_dir"])
        for split in (experiment.data.train_split, experiment.data.eval_split)
    )
    augment = experiment.data.instances
    model = twin_of(experiment.model, augment.short_side[-1], augment.long_side)
    start = time.process_time()
    steps = train(model, experiment, train_split, request["cpu_seconds"])
    used = time.process_time() - start
    found = detect(model, val)
    truth = coco.truth_of(((n, val.objects(n)) for n in range(len(val))), val.labels.names)
    answer = {
        "steps": steps,
        "cpu_seconds": used,
        "parameters": sum(p.numel() for p in model.parameters()),
        "box": coco.judge(truth, found, "bbox").summary(),
        "mask": coco.judge(truth, found, "segm").summary(),
    }
    pathlib.Path(request["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
