"""Runs one of torchvision's detectors in float64: python torchvision_detector.py REQUEST ANSWER.

REQUEST is a JSON file: "name" of the constructor, "classes" with the background, "depth", "sizes"
of the images, "objects" of each, "train", "options" of the constructor and "gains" of random
weights. ANSWER is written: an .npz of the state by name, the images, the truth, and what the
network gives.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torchvision
from torchvision.models import detection


def build(request):
    """The network with random weights under which scores differ."""
    options = {"weights": None, "weights_backbone": None, "num_classes": request["classes"]}
    options |= {"image_mean": [0.0] * 3, "image_std": [1.0] * 3} | request["options"]
    side = min(min(size) for size in request["sizes"])
    options |= {"min_size": side, "max_size": 10_000}
    constructor = getattr(detection, request["name"])
    if request["depth"] != 50:
        module = sys.modules[constructor.__module__]
        module.resnet50 = getattr(torchvision.models, f"resnet{request['depth']}")
    model = constructor(**options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.uniform_(-0.3, 0.3, generator=generator)
                module.running_mean.uniform_(-0.2, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            elif hasattr(module, "weight"):
                gain = request["gains"].get(name.rpartition(".")[2], 2**0.5)
                deviation = gain * module.weight[0].numel() ** -0.5
                module.weight.normal_(0, deviation, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-0.1, 0.1, generator=generator)
    return model.double()


def truth(request, rng):
    """Rectangles with a corner cut off as objects; boxes are those of the masks."""
    targets = []
    for height, width in request["sizes"]:
        masks, boxes = [], []
        for _ in range(request["objects"]):
            h, w = (int(rng.integers(16, n * 3 // 4)) for n in (height, width))
            y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            mask = np.zeros((height, width), np.uint8)
            mask[y : y + h, x : x + w] = 1
            mask[y : y + h // 2, x : x + w // 2] = 0
            masks.append(mask)
            boxes.append((x, y, x + w, y + h))
        classes = rng.integers(1, request["classes"], len(boxes))
        targets.append({"boxes": np.array(boxes, float), "labels": classes, "masks": masks})
    return targets


def main(request_file, answer_file):
    """Reads the request and writes the answer."""
    request = json.loads(pathlib.Path(request_file).read_text())
    model = build(request)
    state = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    rng = np.random.default_rng(1)
    images = [rng.normal(size=(3, *size)) for size in request["sizes"]]
    targets = truth(request, rng)
    answer = {f"state/{name}": array for name, array in state.items()}
    for n, (image, target) in enumerate(zip(images, targets, strict=True)):
        answer[f"image{n}"] = image.transpose(1, 2, 0)
        answer[f"boxes{n}"], answer[f"labels{n}"] = target["boxes"], target["labels"]
        answer[f"masks{n}"] = np.stack(target["masks"])
    given = [torch.from_numpy(image) for image in images]
    if request["train"]:
        tensors = [{k: torch.from_numpy(np.array(v)) for k, v in t.items()} for t in targets]
        losses = model.train()(given, tensors)
        answer |= {f"loss/{name}": loss.item() for name, loss in losses.items()}
        sum(losses.values()).backward()
        answer |= {f"gradient/{name}": p.grad.numpy() for name, p in model.named_parameters()}
    else:
        logits = []
        if model.roi_heads.has_mask():
            model.roi_heads.mask_predictor.register_forward_hook(
                lambda module, inputs, output: logits.append(output.numpy())
            )
        proposals = []
        model.rpn.register_forward_hook(lambda module, inputs, output: proposals.extend(output[0]))
        with torch.inference_mode():
            found = model.eval()(given)
        answer |= {f"proposals{n}": boxes.numpy() for n, boxes in enumerate(proposals)}
        for n, one in enumerate(found):
            for name in ("boxes", "scores", "labels"):
                answer[f"found_{name}{n}"] = one[name].numpy()
            if "masks" in one:
                answer[f"pasted{n}"] = (one["masks"][:, 0] > 0.5).numpy()
        if logits:
            answer["mask_logits"] = logits[0]
    np.savez(answer_file, **answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
