"""Feature extractors whose output stride is set by one field."""

from jaxseg.backbones.alexnet import AlexNet
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.vgg import VGG
from jaxseg.backbones.xception import Xception

__all__ = [
    "VGG",
    "AlexNet",
    "MobileNetV2",
    "ResNet",
    "Xception",
]
