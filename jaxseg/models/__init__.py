"""One file per paper: from jaxseg.models import DeepLabV3Plus."""

from jaxseg.models.backbone_unet import BackboneUNet
from jaxseg.models.deconvnet import DeconvNet
from jaxseg.models.deeplab_v1 import DeepLabV1
from jaxseg.models.deeplab_v2 import DeepLabV2
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus
from jaxseg.models.dilated_fcn import DilatedFCN
from jaxseg.models.dilation import Dilation
from jaxseg.models.encnet import EncNet
from jaxseg.models.faster_rcnn import FasterRCNN
from jaxseg.models.fcn import FCN
from jaxseg.models.full_resolution import FullResolution
from jaxseg.models.mask_rcnn import MaskRCNN
from jaxseg.models.panoptic_fpn import PanopticFPN, SemanticFPN
from jaxseg.models.parsenet import ParseNet
from jaxseg.models.patch_classifier import PatchClassifier
from jaxseg.models.pspnet import PSPNet
from jaxseg.models.refinenet import RefineNet
from jaxseg.models.segnet import SegNet
from jaxseg.models.segnet_basic import SegNetBasic
from jaxseg.models.unet import UNet

__all__ = [
    "FCN",
    "BackboneUNet",
    "DeconvNet",
    "DeepLabV1",
    "DeepLabV2",
    "DeepLabV3",
    "DeepLabV3Plus",
    "DilatedFCN",
    "Dilation",
    "EncNet",
    "FasterRCNN",
    "FullResolution",
    "MaskRCNN",
    "PSPNet",
    "PanopticFPN",
    "ParseNet",
    "PatchClassifier",
    "RefineNet",
    "SegNet",
    "SegNetBasic",
    "SemanticFPN",
    "UNet",
]
