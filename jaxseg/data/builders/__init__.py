"""One file per data set: where its published files are and what their ids mean."""

# The names that can be prepared, and the version that this code writes and reads. A version is
# increased when the same published files would give different examples.
VERSIONS = {
    "shapes": "1.0.0",
    "ade20k": "1.0.0",
    "camvid": "1.0.0",
    "camvid32": "1.0.0",
    "cityscapes": "1.0.0",
    "coco": "1.0.0",
    "coco_stuff": "1.0.0",
    "coco_voc": "1.0.0",
    "drive": "1.0.0",
    "folder": "1.1.0",
    "isbi_em": "1.0.0",
    "oxford_iiit_pet": "1.0.0",
    "pascal_context": "1.0.0",
    "penn_fudan": "1.0.0",
    "sun_rgbd": "1.0.0",
    "voc2011": "1.0.0",
    "voc2012": "1.0.0",
}
# Instance sets whose pixels have classes of stuff.
WITH_STUFF = ("cityscapes/instances", "shapes/instances")
# Of these, the sets in which all pixels outside objects are "background", and the raw id of it.
BACKGROUND = {"shapes/instances": 6}
# What may follow a name after a slash; shapes and folder accept any name.
VARIANTS = {
    "cityscapes": ("coarse", "instances"),
    "coco": ("2014",),
    "coco_stuff": ("10k",),
    "pascal_context": ("60",),
    "voc2012": ("instances",),
}
