"""Files like those that libraries release, and what they find: python released_detectors.py FOLDER.

FOLDER gets photo.png; of "torchvision", "mmdetection" and "detectron2" a file of random weights
under the library's own names; and NAME.npz, what torchvision's network finds in the photo with
them, changed to what the library does: configs/_base_/models/mask-rcnn_r50_fpn.py of mmdetection,
modeling/{anchor_generator,poolers}.py and modeling/backbone/resnet.py of detectron2.
"""

import functools
import math
import pathlib
import pickle
import re
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import anchor_utils
from torchvision.ops import boxes as box_ops
from torchvision.ops import poolers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from torchvision_detector import build

SIZE = (128, 192)  # multiples of 64
UNUSED = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
GAINS = {"cls_logits": 0.3, "bbox_pred": 0.05, "cls_score": 0.1, "mask_fcn_logits": 1.0}
UNITS = {
    **{f"conv{n}": f"conv{n}" for n in (1, 2, 3)},
    **{f"bn{n}": f"conv{n}.norm" for n in (1, 2, 3)},
    "downsample.0": "shortcut",
    "downsample.1": "shortcut.norm",
}
# torchvision's name -> those of the other two; {} is what a group of the pattern holds
MMDETECTION = {
    r"backbone\.body\.(.*)": "backbone.{}",
    r"backbone\.fpn\.inner_blocks\.(\d)\.0\.(.*)": "neck.lateral_convs.{}.conv.{}",
    r"backbone\.fpn\.layer_blocks\.(\d)\.0\.(.*)": "neck.fpn_convs.{}.conv.{}",
    r"rpn\.head\.conv\.0\.0\.(.*)": "rpn_head.rpn_conv.{}",
    r"rpn\.head\.cls_logits\.(.*)": "rpn_head.rpn_cls.{}",
    r"rpn\.head\.bbox_pred\.(.*)": "rpn_head.rpn_reg.{}",
    r"roi_heads\.box_head\.fc6\.(.*)": "roi_head.bbox_head.shared_fcs.0.{}",
    r"roi_heads\.box_head\.fc7\.(.*)": "roi_head.bbox_head.shared_fcs.1.{}",
    r"roi_heads\.box_predictor\.cls_score\.(.*)": "roi_head.bbox_head.fc_cls.{}",
    r"roi_heads\.box_predictor\.bbox_pred\.(.*)": "roi_head.bbox_head.fc_reg.{}",
    r"roi_heads\.mask_head\.(\d)\.0\.(.*)": "roi_head.mask_head.convs.{}.conv.{}",
    r"roi_heads\.mask_predictor\.conv5_mask\.(.*)": "roi_head.mask_head.upsample.{}",
    r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.*)": "roi_head.mask_head.conv_logits.{}",
}
DETECTRON2 = {
    r"backbone\.body\.conv1\.(.*)": "backbone.bottom_up.stem.conv1.{}",
    r"backbone\.body\.bn1\.(.*)": "backbone.bottom_up.stem.conv1.norm.{}",
    r"rpn\.head\.conv\.0\.0\.(.*)": "proposal_generator.rpn_head.conv.{}",
    r"rpn\.head\.cls_logits\.(.*)": "proposal_generator.rpn_head.objectness_logits.{}",
    r"rpn\.head\.bbox_pred\.(.*)": "proposal_generator.rpn_head.anchor_deltas.{}",
    r"roi_heads\.box_head\.fc6\.(.*)": "roi_heads.box_head.fc1.{}",
    r"roi_heads\.box_head\.fc7\.(.*)": "roi_heads.box_head.fc2.{}",
    r"roi_heads\.box_predictor\.(.*)": "roi_heads.box_predictor.{}",
    r"roi_heads\.mask_predictor\.conv5_mask\.(.*)": "roi_heads.mask_head.deconv.{}",
    r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.*)": "roi_heads.mask_head.predictor.{}",
}


def renamed(name, names):
    """The name in the other library."""
    for pattern, other in names.items():
        if match := re.fullmatch(pattern, name):
            return other.format(*match.groups())
    raise ValueError(name)


def detectron2_name(name):
    """Stages count from res2, levels from P2, convolutions of masks from 1."""
    unit = r"backbone\.body\.layer(\d)\.(\d)\.(conv\d|bn\d|downsample\.\d)\.(.*)"
    if match := re.fullmatch(unit, name):
        stage, n, part, leaf = match.groups()
        return f"backbone.bottom_up.res{int(stage) + 1}.{n}.{UNITS[part]}.{leaf}"
    if match := re.fullmatch(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0\.(.*)", name):
        kind = {"inner": "lateral", "layer": "output"}[match[1]]
        return f"backbone.fpn_{kind}{int(match[2]) + 2}.{match[3]}"
    if match := re.fullmatch(r"roi_heads\.mask_head\.(\d)\.0\.(.*)", name):
        return f"roi_heads.mask_head.mask_fcn{int(match[1]) + 1}.{match[2]}"
    return renamed(name, DETECTRON2)


def background_last(name, array):
    """The outputs as the two have them: background last, without boxes and masks of its own."""
    if "cls_score" in name:
        return np.roll(array, -1, axis=0)
    if "box_predictor.bbox_pred" in name:
        return array[4:]
    return array[1:] if "mask_fcn_logits" in name else array


class ExactAnchors(anchor_utils.AnchorGenerator):
    """Those of detectron2 and mmdetection, which are not rounded."""

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device="cpu"):
        rows = [
            (-size / math.sqrt(r), -size * math.sqrt(r), size / math.sqrt(r), size * math.sqrt(r))
            for size in scales
            for r in aspect_ratios
        ]
        return torch.tensor(rows, dtype=dtype, device=device) / 2


def wide(boxes, min_size):
    """The RPN drops boxes without a width or a height, the head none."""
    if min_size > 2e-3:
        return torch.arange(len(boxes))
    return torch.where(((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1))[0]


def network(classes, mean, deviation, **options):
    """torchvision's with random weights, in float64."""
    options |= {"image_mean": [m / 255 for m in mean], "image_std": [d / 255 for d in deviation]}
    request = {"name": "maskrcnn_resnet50_fpn", "classes": classes, "depth": 50, "sizes": [SIZE]}
    return build(request | {"options": options, "gains": GAINS}).eval()


def twin(mean, deviation):
    """With exact anchors and with RoIAlign as in the two others."""
    sides = tuple((size,) for size in (32, 64, 128, 256, 512))
    levels = ["0", "1", "2", "3"]
    return network(
        81,
        mean,
        deviation,
        rpn_anchor_generator=ExactAnchors(sides, ((0.5, 1.0, 2.0),) * 5),
        box_roi_pool=poolers.MultiScaleRoIAlign(levels, 7, 0),
        mask_roi_pool=poolers.MultiScaleRoIAlign(levels, 14, 0),
    )


def spread(model, image):
    """Changes the layer that scores classes so that RoIs have different ones."""
    seen, layer = [], model.roi_heads.box_predictor.cls_score
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.inference_mode():
        model([image])
    hook.remove()
    with torch.no_grad():
        mean = seen[0].mean(0)
        gain = 3 / (seen[0] - mean).std()
        layer.bias.sub_(mean).mul_(gain)
        layer.weight.mul_(gain)


def arrays(model):
    """The state as a released file has it, in float32."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in state.items()}


def answer(folder, name, model, image):
    """Writes what the network finds."""
    with torch.inference_mode():
        (found,) = model([image])
    found["masks"] = found["masks"][:, 0] > 0.5
    np.savez(folder / f"{name}.npz", **{key: value.numpy() for key, value in found.items()})


def main(folder):
    """Writes all files."""
    folder = pathlib.Path(folder)
    height, width = SIZE
    rough = np.random.default_rng(0).normal(128, 60, (height // 8, width // 8, 3))
    photo = Image.fromarray(rough.clip(0, 255).astype(np.uint8)).resize((width, height))
    photo.save(folder / "photo.png")
    image = np.asarray(photo)

    tensor = torch.from_numpy(image.transpose(2, 0, 1) / 255.0)
    model = network(91, MEAN, DEVIATION)
    spread(model, tensor)
    with torch.no_grad():  # as after training: no object has these ids
        model.roi_heads.box_predictor.cls_score.bias[UNUSED] = -50
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0  # as torchvision runs its release
    tensors = {name: torch.from_numpy(array) for name, array in arrays(model).items()}
    torch.save(tensors, folder / "torchvision.pth")
    answer(folder, "torchvision", model, tensor)

    poolers.roi_align = functools.partial(poolers.roi_align, aligned=True)
    box_ops.remove_small_boxes = wide
    model = twin(MEAN, DEVIATION)
    spread(model, tensor)
    tensors = {
        renamed(name, MMDETECTION): torch.from_numpy(background_last(name, array).copy())
        for name, array in arrays(model).items()
    }
    torch.save({"meta": {"epoch": 12}, "state_dict": tensors}, folder / "mmdetection.pth")
    answer(folder, "mmdetection", model, tensor)

    model = twin(MEAN, (1.0, 1.0, 1.0))
    with torch.no_grad():
        model.backbone.body.conv1.weight /= 57  # pixels are not divided by a deviation
    for stage in (2, 3, 4):
        first = getattr(model.backbone.body, f"layer{stage}")[0]
        first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
    spread(model, tensor)
    tensors = {
        detectron2_name(name): background_last(name, array)
        for name, array in arrays(model).items()
        if not name.endswith("num_batches_tracked")
    }
    stem = "backbone.bottom_up.stem.conv1.weight"
    tensors[stem] = tensors[stem][:, ::-1].copy()  # of blue, green, red
    release = {"model": tensors, "__author__": "detectron2"}
    (folder / "detectron2.pkl").write_bytes(pickle.dumps(release))
    answer(folder, "detectron2", model, tensor)


if __name__ == "__main__":
    main(*sys.argv[1:])
