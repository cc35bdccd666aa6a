"""Networks that no torch library offers as published, written as a torch user would.

No library has SegNet, and their PSPNets differ from the paper's in head or backbone. Modules have
our names, so that `torch_tables` can map the weights by a rule.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import _utils, resnet

SEGNET_UNITS = (2, 2, 3, 3, 3)  # number of convolutions and features of each stage
SEGNET_FEATURES = (64, 128, 256, 512, 512)


class SegNet(nn.Module):
    """`jaxseg.models.segnet.SegNet` (arXiv 1511.00561, Figure 2, as released)."""

    def __init__(self, num_classes: int, features: tuple[int, ...] = SEGNET_FEATURES) -> None:
        super().__init__()
        self.backbone, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        inputs = 3
        for stage, units in enumerate(SEGNET_UNITS, start=1):
            for unit in range(1, units + 1):
                self._add(self.backbone, f"{stage}_{unit}", inputs, features[stage - 1])
                inputs = features[stage - 1]
        for stage in range(len(SEGNET_UNITS), 0, -1):
            for unit in range(SEGNET_UNITS[stage - 1], 0, -1):
                if (stage, unit) != (1, 1):
                    outputs = features[max(1, stage - (unit == 1)) - 1]
                    self._add(self.decoder, f"{stage}_{unit}_D", inputs, outputs)
                    inputs = outputs
        self.classifier = nn.Conv2d(inputs, num_classes, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    @staticmethod
    def _add(layers: nn.ModuleDict, name: str, inputs: int, outputs: int) -> None:
        layers[f"conv{name}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
        norm = nn.BatchNorm2d(outputs, eps=1e-9)
        nn.init.constant_(norm.bias, 0.001)
        layers[f"norm{name}"] = norm

    @staticmethod
    def _run(layers: nn.ModuleDict, name: str, x: Tensor) -> Tensor:
        x = layers[f"norm{name}"](layers[f"conv{name}"](x))
        return functional.relu(x, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, K, H, W]."""
        pooled = []
        for stage, units in enumerate(SEGNET_UNITS, start=1):
            for unit in range(1, units + 1):
                x = self._run(self.backbone, f"{stage}_{unit}", x)
            size = x.shape[2:]
            x, places = self.pool(x)
            pooled.append((places, size))
        for stage in range(len(SEGNET_UNITS), 0, -1):
            places, size = pooled.pop()
            x = self.unpool(x, places, output_size=size)
            for unit in range(SEGNET_UNITS[stage - 1], 0, -1):
                if (stage, unit) != (1, 1):
                    x = self._run(self.decoder, f"{stage}_{unit}_D", x)
        return self.classifier(x)


class ConvNorm(nn.Module):
    """A convolution without bias, its batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs, H, W]."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


def _enlarged(x: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


class PyramidPooling(nn.Module):
    """Section 3.2: the map concatenated with its means over finer and finer grids."""

    def __init__(self, inputs: int, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(n) for n in bins)
        for n in bins:
            self.add_module(f"level{n}", ConvNorm(inputs, inputs // len(bins), 1))
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 2 C, h, w]."""
        levels = [
            _enlarged(self.get_submodule(f"level{n}")(pool(x)), x.shape[2:])
            for n, pool in zip(self.bins, self.pools, strict=True)
        ]
        return torch.cat([x, *levels], dim=1)


class PSPNet(nn.Module):
    """`jaxseg.models.pspnet.PSPNet` (arXiv 1612.01105, Figure 3) on torchvision's ResNet-50.

    At output stride 8, without auxiliary head and dropout.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        backbone = resnet.resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
        self.backbone = _utils.IntermediateLayerGetter(backbone, {"layer4": "out"})
        self.pyramid = PyramidPooling(2048, (1, 2, 3, 6))
        self.head = ConvNorm(4096, 512, 3)
        self.classifier = nn.Conv2d(512, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, K, H, W]."""
        size = x.shape[2:]
        x = self.head(self.pyramid(self.backbone(x)["out"]))
        return _enlarged(self.classifier(x), size)
