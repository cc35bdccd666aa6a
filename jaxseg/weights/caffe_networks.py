"""Which of the papers' Caffe networks a file holds, by the names of its layers."""

from collections.abc import Collection

from jaxseg.weights import tables_caffe, tables_caffe_pspnet, tables_caffe_segnet
from jaxseg.weights.match import Table


def table_of(names: Collection[str]) -> Table | None:
    """The name table for a file of these blobs; None: they are of no network that is known here.

    The network is known by a layer that no other has; what builds on another comes before it.
    """
    if "conv5_3_pool1_conv/0" in names:
        return tables_caffe_pspnet.pspnet(names)
    if "conv1_1_D/0" in names:
        return tables_caffe_segnet.segnet(names)
    if "res5c_branch2c/0" in names:
        return tables_caffe.resnet(names)
    if "conv1_1/0" in names:
        return tables_caffe.vgg(names)
    return None
