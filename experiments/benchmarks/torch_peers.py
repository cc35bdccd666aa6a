"""segmentation_models_pytorch and torchvision as contenders.

usage: torch_peers.py WORK; its variant holds words: "channels_last", "compile".
"""

from typing import Any

import numpy as np
import torch

from experiments.benchmarks import timing, work
from jaxseg import memory


def _tolerate_missing_operators() -> None:
    """torchvision's wheel beside a CPU build of torch: `nms` and its like do not load."""
    register_fake = torch.library.register_fake

    def tolerant(name: Any, *args: Any, **options: Any) -> Any:
        def decorate(function: Any) -> Any:
            try:
                return register_fake(name, *args, **options)(function)
            except RuntimeError:
                return function

        return decorate

    torch.library.register_fake = tolerant


def _model(name: str) -> torch.nn.Module:
    _tolerate_missing_operators()
    if name == "v3_stride8":
        from torchvision.models import segmentation

        class Logits(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = segmentation.deeplabv3_resnet50(
                    weights=None,
                    weights_backbone=None,
                    num_classes=work.NUM_CLASSES,
                    aux_loss=False,
                )

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return self.model(images)["out"]

        return Logits()
    import segmentation_models_pytorch as smp

    kind = {"v3": smp.DeepLabV3, "v3_plus": smp.DeepLabV3Plus}[name]
    return kind(
        "resnet50",
        encoder_weights=None,
        classes=work.NUM_CLASSES,
        encoder_output_stride=16,
        decoder_atrous_rates=(6, 12, 18),
    )


def main() -> None:
    """Builds the step and serves it."""
    given = work.from_arguments()
    memory.keep_freed("cpu" if not torch.cuda.is_available() else None)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    words = given.variant.split()
    layout = torch.channels_last if "channels_last" in words else torch.contiguous_format
    torch.backends.cudnn.benchmark = True
    network: Any = _model(given.model)
    network = network.to(device, memory_format=layout)
    network.train(given.step == "train")
    forward = torch.compile(network) if "compile" in words else network
    images, labels = work.batch_of(given)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    x = ((x - 127.5) / 127.5).to(device, memory_format=layout)
    y = torch.from_numpy(labels.astype(np.int64)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    half = given.dtype == "bfloat16"

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def train_once() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            logits = forward(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), y, ignore_index=work.IGNORE)
        loss.backward()
        optimizer.step()
        wait()

    def infer_once() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
            forward(x)
        wait()

    timing.serve(
        train_once if given.step == "train" else infer_once,
        {
            "parameters": sum(p.numel() for p in network.parameters()),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        },
    )


if __name__ == "__main__":
    main()
