"""segmentation_models_pytorch, torchvision and our twins in torch as contenders.

usage: torch_peers.py WORK, whose variant may contain the words "channels_last" and "compile".
"""

import pathlib
from typing import Any

import numpy as np
import torch

from experiments.benchmarks import processes, timing, work
from jaxseg import whole_file
from jaxseg.runtime import memory


def _tolerate_missing_operators() -> None:
    """Lets torchvision's wheel work with a CPU build of torch, where `nms` does not load."""
    register_fake = torch.library.register_fake

    def tolerant(name: Any, *args: Any, **options: Any) -> Any:
        def decorate(function: Any) -> Any:
            try:
                return register_fake(name, *args, **options)(function)
            except RuntimeError:
                return function

        return decorate

    torch.library.register_fake = tolerant


def _torchvision(depth: int, output_stride: int) -> torch.nn.Module:
    from torchvision.models import _utils, resnet
    from torchvision.models.segmentation import deeplabv3

    backbone = {50: resnet.resnet50, 101: resnet.resnet101}[depth](
        weights=None, replace_stride_with_dilation=[False, output_stride == 8, True]
    )
    rates = [rate * 16 // output_stride for rate in work.ATROUS_RATES]
    return deeplabv3.DeepLabV3(
        _utils.IntermediateLayerGetter(backbone, return_layers={"layer4": "out"}),
        deeplabv3.DeepLabHead(2048, work.NUM_CLASSES, rates),
    )


def _smp(given: work.Work) -> torch.nn.Module:
    import segmentation_models_pytorch as smp

    encoder = "tu-xception65" if given.model == "v3_plus_xception" else f"resnet{given.depth}"
    if given.model == "unet":
        return smp.Unet(encoder, encoder_weights=None, classes=work.NUM_CLASSES)
    kind = smp.DeepLabV3Plus if given.model.startswith("v3_plus") else smp.DeepLabV3
    return kind(
        encoder,
        encoder_weights=None,
        classes=work.NUM_CLASSES,
        encoder_output_stride=16,
        decoder_atrous_rates=work.ATROUS_RATES,
    )


def network_of(given: work.Work) -> torch.nn.Module:
    """The network, with the same random values in every process and without dropout."""
    _tolerate_missing_operators()
    torch.manual_seed(0)
    if given.model in ("v3_torchvision", "v3_stride8"):
        network = _torchvision(given.depth, 8 if given.model == "v3_stride8" else 16)
    elif given.model in ("segnet", "pspnet"):
        from experiments.benchmarks import torch_twins

        twin = torch_twins.SegNet if given.model == "segnet" else torch_twins.PSPNet
        network = twin(work.NUM_CLASSES)
    else:
        network = _smp(given)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network


def _arrays_of(
    given: work.Work, device: str, layout: torch.memory_format
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Images [B, 3, H, W] in [-1, 1] and labels [B, H, W] on the device; labels on the host."""
    images, labels = work.batch_of(given)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    x = ((x - 127.5) / 127.5).to(device, memory_format=layout)
    return x, torch.from_numpy(labels.astype(np.int64)).to(device), labels


def _placed(given: work.Work, device: str, layout: torch.memory_format) -> Any:
    """The network on the device, ready for the step; writes its weights if the file is missing."""
    network: Any = network_of(given)
    if given.weights and not pathlib.Path(given.weights).exists():
        with whole_file.writing(given.weights) as file:
            torch.save(network.state_dict(), file)
    network = network.to(device, memory_format=layout)
    network.train(given.step == "train")
    return network


def main() -> None:
    """Builds the step and serves it."""
    given = work.from_arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    memory.keep_freed(device)
    torch.set_num_threads(timing.cores())
    words = given.variant.split()
    layout = torch.channels_last if "channels_last" in words else torch.contiguous_format
    torch.backends.cudnn.benchmark = True
    network = _placed(given, device, layout)
    forward = torch.compile(network) if "compile" in words else network
    x, y, labels = _arrays_of(given, device, layout)
    optimizer = torch.optim.SGD(
        network.parameters(),
        work.LEARNING_RATE,
        momentum=work.MOMENTUM,
        weight_decay=work.WEIGHT_DECAY,
    )
    half = given.dtype == "bfloat16"

    def logits_of() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            output = forward(x)
        return output["out"] if isinstance(output, dict) else output

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def train_once() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        logits = logits_of().float()
        loss = torch.nn.functional.cross_entropy(logits, y, ignore_index=work.IGNORE)
        loss.backward()
        optimizer.step()
        wait()
        return loss.detach()

    def infer_once() -> torch.Tensor:
        with torch.inference_mode():
            logits = logits_of()
        wait()
        return logits

    def loss_of(logits: torch.Tensor) -> float:
        return work.cross_entropy(logits.float().cpu().numpy().transpose(0, 2, 3, 1), labels)

    training = given.step == "train"
    processes.serve(
        train_once if training else infer_once,
        float if training else loss_of,
        {
            "parameters": sum(p.numel() for p in network.parameters()),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        },
        # Contenders share the device's memory: an idle one releases its cache.
        rest=torch.cuda.empty_cache if device == "cuda" else None,
    )


if __name__ == "__main__":
    main()
