"""RefineNet: "Multi-path refinement networks for high-resolution semantic segmentation".

A ResNet without atrous convolution, whose maps at 1/4 to 1/32 are fused from the coarsest to the
finest by blocks of residual units (Lin et al., arXiv 1611.06612, section 3, Figures 2 and 3):

    RefineNet(21, refinenet_backbone(152))  # VOC 2012: 83.4 mIoU on test, with COCO
    RefineNet(21, refinenet_backbone(50), cascades=2)  # a variant of section 4.3
"""

import functools
import operator

import flax.linen as nn

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier, he_normal_fan_in
from jaxseg.layers.norm import Norm
from jaxseg.layers.pool import max_pool
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

# The ResNet stages that each block fuses, besides the output of the previous block. Unsure: the
# variants with fewer blocks (section 4.3 and Figure 7). That a single block fuses all four maps is
# certain; how two blocks share them, and their channels, was not checked against the paper.
CASCADES = {4: ((4,), (3,), (2,), (1,)), 2: ((4, 3), (2, 1)), 1: ((4, 3, 2, 1),)}


def refinenet_backbone(depth: int, norm: Norm = Norm()) -> ResNet:
    """ResNet-50, 101 or 152 at output stride 32; the authors train it with frozen norms.

    The stride is on the 3x3 convolution, as in torchvision's weights. Where the authors' ResNet,
    which was imported from Caffe, has it is not stated in the paper; their model files were not
    available.
    """
    return ResNet(depth=depth, output_stride=32, stride_at="first_3x3", norm=norm)


class ResidualConvUnit(nn.Module):
    """RCU (Figure 3b): x + conv(ReLU(conv(ReLU(x)))), 3x3, no norm, only the first with a bias."""

    kernel_init: nn.initializers.Initializer  # of its convolutions
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Refines a map [B, h, w, C] without changing its shape."""
        conv = functools.partial(
            Conv, x.shape[-1], 3, kernel_init=self.kernel_init, compute=self.compute
        )
        y = conv(use_bias=True, name="conv1")(nn.relu(x))
        return x + conv(name="conv2")(nn.relu(y))


class ChainedResidualPooling(nn.Module):
    """Figure 3d: a chain of 5x5 poolings and 3x3 convolutions, each stage added to the input."""

    stages: int  # poolings in the chain
    pool_first: bool  # pools, then convolves; else the other way round
    kernel_init: nn.initializers.Initializer  # of its convolutions
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Refines a map [B, h, w, C] without changing its shape."""
        total = stage = nn.relu(x)
        for number in range(1, self.stages + 1):
            conv = Conv(
                x.shape[-1],
                3,
                kernel_init=self.kernel_init,
                compute=self.compute,
                name=f"conv{number}",
            )
            pool = functools.partial(
                max_pool, window=5, stride=1, padding=2, form=self.compute.of("pool")
            )
            stage = conv(pool(stage)) if self.pool_first else pool(conv(stage))
            total = total + stage
        return total


class RefineNetBlock(nn.Module):
    """Figure 3a: adapts maps of several sizes, fuses them at the largest, pools and refines."""

    features: dict[int, int]  # stage -> channels of its map after the reduction
    adapt_units: int  # residual units that adapt each map
    pooling_stages: int  # poolings in the chain
    pool_first: bool  # pools, then convolves; else the other way round
    output_units: int  # residual units at the end of the block
    resize_convention: str  # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    path_init: nn.initializers.Initializer  # of reductions and fusions
    residual_init: nn.initializers.Initializer  # of residual branches
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, maps: dict[int, Array], refined: Array | None) -> Array:
        """Refines the output of the previous block with the maps of some stages.

        Args:
          maps: stage -> [B, h, w, C]; sizes and channels may differ.
          refined: [B, h, w, C], the output of the previous block; None for the first one.

        Returns:
          [B, h, w, C] with the largest h and w and the smallest C of all inputs.
        """
        conv = functools.partial(Conv, kernel_init=self.path_init, compute=self.compute)
        unit = functools.partial(ResidualConvUnit, self.residual_init, self.compute)
        paths = {}
        for stage, x in maps.items():
            x = conv(self.features[stage], name=f"reduce{stage}")(x)
            for number in range(1, self.adapt_units + 1):
                x = unit(name=f"adapt{stage}_unit{number}")(x)
            paths[f"{stage}"] = x
        if refined is not None:
            paths["_refined"] = refined
        if len(paths) > 1:
            smallest = min(x.shape[-1] for x in paths.values())
            paths = {name: conv(smallest, name=f"fuse{name}")(x) for name, x in paths.items()}
        height, width = (max(x.shape[axis] for x in paths.values()) for axis in (1, 2))
        x = functools.reduce(
            operator.add, (self._upsampled(x, (height, width)) for x in paths.values())
        )  # [B, h, w, C]
        x = ChainedResidualPooling(
            self.pooling_stages,
            self.pool_first,
            self.residual_init,
            self.compute,
            name="pooling",
        )(x)
        for number in range(1, self.output_units + 1):
            x = unit(name=f"output_unit{number}")(x)
        return x

    def _upsampled(self, x: Array, size: tuple[int, int]) -> Array:
        if x.shape[1:3] == size:
            return x
        convention, form = self.resize_convention, self.compute.of("resize")
        return resize_bilinear(x, size, convention=convention, form=form)


class RefineNet(nn.Module):
    """Figure 2c: the four-cascaded network, or its variants with fewer blocks.

    Each block ends with three residual units, as in the released code. Unsure: as section 3.2 is
    quoted elsewhere, the paper has one unit there, two that adapt the result to the next block, and
    two before the classifier, which with four cascades is the same network.

    Departure: maps are upsampled bilinearly, as in DrSleep's PyTorch port; the original resizes
    bicubically, with an approximate gradient. The variant with two images (section 4.3) is not
    implemented.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # `refinenet_backbone`, or another with "stage1" .. "stage4"
    cascades: int = 4  # number of blocks: 4, 2, or 1, which fuses all four maps at once
    head_features: int = 256  # of each path; the path of stage 4 has twice as many
    adapt_units: int = 2  # residual units that adapt each map
    pooling_stages: int = 4  # poolings in the chain of each block
    pool_first: bool = True  # as in the paper; most released models convolve, then pool
    output_units: int = 3  # residual units at the end of each block
    init_deviation: float = 0.01  # of kernels in the head
    # Departure, optional: initialise reductions, fusions and classifier from He et al.'s normal
    # distribution. With 0.01, heads much narrower than the paper's have almost zero output.
    scale_paths: bool = False
    dropout: float = 0.5  # before the reductions of stages 3 and 4, and before the classifier
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "coarse_logits" [B, H/4, W/4, K], the same before
          upsampling; "features", the backbone's last map; "refined1" .. "refined4" (or up to the
          number of cascades), the output of each block.

        Raises:
          ValueError: `cascades` is not 1, 2 or 4; the backbone lacks a stage.
        """
        height, width = images.shape[1:3]
        ends = self.backbone(images, train=train)
        self._check(ends)
        residual_init = nn.initializers.normal(self.init_deviation)
        path_init = he_normal_fan_in if self.scale_paths else residual_init
        drop = nn.Dropout(self.dropout, deterministic=not train)
        widths = dict.fromkeys((1, 2, 3), self.head_features) | {4: 2 * self.head_features}
        outputs = {"features": ends["features"]}
        x = None
        for number, stages in enumerate(CASCADES[self.cascades], start=1):
            maps = {stage: ends[f"stage{stage}"] for stage in stages}
            x = RefineNetBlock(
                widths,
                self.adapt_units,
                self.pooling_stages,
                self.pool_first,
                self.output_units,
                self.resize_convention,
                path_init,
                residual_init,
                self.compute,
                name=f"refine{number}",
            )({stage: drop(y) if stage > 2 else y for stage, y in maps.items()}, x)
            # With four: [B, H/32, W/32, 512], then [B, H/16, W/16, 256] up to [B, H/4, W/4, 256].
            outputs[f"refined{number}"] = x
        scores = classifier(self.num_classes, self.compute, kernel_size=3, kernel_init=path_init)
        x = scores(drop(x))  # [B, H/4, W/4, K]
        outputs["coarse_logits"] = x
        outputs["logits"] = resize_bilinear(
            x,
            (height, width),
            convention=self.resize_convention,
            form=self.compute.of("resize"),
        )  # [B, H, W, K]
        return outputs

    def _check(self, ends: dict[str, Array]) -> None:
        if self.cascades not in CASCADES:
            known = ", ".join(map(str, CASCADES))
            raise ValueError(f"cascades is {self.cascades}: it must be one of {known}")
        for stage in (1, 2, 3, 4):
            if f"stage{stage}" not in ends:
                raise ValueError(
                    f"RefineNet needs stages 1 to 4 of a ResNet, and "
                    f"{type(self.backbone).__name__} has no stage{stage}"
                )
