"""Constructors of other libraries' variants, which test_all_models.py checks."""

from jaxseg.models.compat import (
    smp_deeplab_v3,
    smp_deeplab_v3_plus,
    smp_fpn,
    smp_unet,
    torchvision_deeplab_v3,
    torchvision_fcn,
)

PUBLIC = {  # each public name of the file, with models for test_all_models.py
    "torchvision_deeplab_v3": [torchvision_deeplab_v3(18, 5)],
    "smp_deeplab_v3": [smp_deeplab_v3(18, 5)],
    "smp_deeplab_v3_plus": [smp_deeplab_v3_plus(18, 5)],
    "smp_fpn": [smp_fpn(18, 5)],
    "smp_unet": [smp_unet(18, 5)],
    "torchvision_fcn": [torchvision_fcn(18, 5)],
}
