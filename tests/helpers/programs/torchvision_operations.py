"""Runs operations of torchvision: python torchvision_operations.py REQUEST ANSWER.

REQUEST is an .npz of arrays "OPERATION/CASE/ARGUMENT"; ANSWER is written likewise, as
"OPERATION/CASE/RESULT".
"""

import sys

import numpy as np
import torch
from torchvision import ops
from torchvision.models import detection


def nms(boxes, scores, valid, groups, threshold):
    """Indices into all boxes; groups one by one, as torchvision's `batched_nms` for many boxes."""
    kept = []
    for group in np.unique(groups):
        index = np.flatnonzero(valid & (groups == group))
        one = [torch.tensor(x[index]) for x in (boxes, scores)]
        kept.append(index[ops.nms(*one, float(threshold)).numpy()])
    kept = np.concatenate(kept)
    return {"kept": kept[np.lexsort((kept, -scores[kept]))]}


def pooled(operation, maps, rois, dy):
    """Of one map [B, h, w, C]; rois [B, N, 4]."""
    x = torch.tensor(maps.transpose(0, 3, 1, 2), requires_grad=True)
    image = np.broadcast_to(np.arange(len(rois))[:, None, None], (*rois.shape[:2], 1))
    flat = np.concatenate([image, rois], axis=-1).reshape(-1, 5).astype(maps.dtype)
    y = operation(x, torch.tensor(flat))
    (y * torch.tensor(dy.reshape(-1, *dy.shape[2:]).transpose(0, 3, 1, 2))).sum().backward()
    value = y.detach().numpy().transpose(0, 2, 3, 1).reshape(dy.shape)
    return {"value": value, "gradient": x.grad.numpy().transpose(0, 2, 3, 1)}


def roi_align(maps, rois, dy, size, scale, sampling, aligned):
    def operation(x, rois):
        return ops.roi_align(x, rois, int(size), float(scale), int(sampling), bool(aligned))

    return pooled(operation, maps, rois, dy)


def roi_pool(maps, rois, dy, size, scale):
    return pooled(lambda x, rois: ops.roi_pool(x, rois, int(size), float(scale)), maps, rois, dy)


def levels(rois, canonical):
    mapper = ops.poolers.LevelMapper(2, 5, canonical_scale=int(canonical))
    return {"level": mapper([torch.tensor(rois)]).numpy()}


def anchors(rows, columns, stride, sizes, ratios):
    generator = detection.anchor_utils.AnchorGenerator((tuple(sizes),), (tuple(ratios),))
    grid, step = torch.Size([int(rows), int(columns)]), torch.tensor(int(stride))
    return {"anchors": generator.grid_anchors([grid], [[step, step]])[0].numpy()}


def coding(boxes, anchors, weights):
    coder = detection._utils.BoxCoder(tuple(weights.tolist()))
    deltas = coder.encode_single(torch.tensor(boxes), torch.tensor(anchors))
    moved = coder.decode_single(3 * deltas, torch.tensor(anchors))
    overlap = ops.box_iou(torch.tensor(boxes), torch.tensor(anchors))
    return {"deltas": deltas.numpy(), "moved": moved.numpy(), "iou": overlap.numpy()}


def paste(masks, boxes, size):
    draw = detection.roi_heads.paste_masks_in_image
    drawn = draw(torch.tensor(masks)[:, None], torch.tensor(boxes), tuple(size.tolist()))
    return {"drawn": drawn[:, 0].numpy()}


def main():
    cases = {}
    for key, value in np.load(sys.argv[1]).items():
        operation, case, argument = key.split("/")
        cases.setdefault((operation, case), {})[argument] = value
    answer = {}
    for (operation, case), arguments in cases.items():
        for result, value in globals()[operation](**arguments).items():
            answer[f"{operation}/{case}/{result}"] = value
    np.savez(sys.argv[2], **answer)


if __name__ == "__main__":
    main()
