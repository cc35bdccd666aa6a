"""The size limit of decoded images: a small file can hold a picture that exhausts the memory.

OpenCV has a limit of its own, 2**30 pixels (OPENCV_IO_MAX_IMAGE_PIXELS); larger files are left to
Pillow, so that this flag is the only one.
"""

from absl import flags

_DEFAULT = 178_956_970  # pixels, as Pillow's: 0.5 GB of RGB
_LIMIT = flags.DEFINE_integer(
    "max_image_pixels",
    _DEFAULT,
    "The largest image or mask that is decoded, in pixels; 0: no limit.",
    0,
)


def limit() -> int:
    """The most pixels that an image may have, --max_image_pixels; 0: there is no limit."""
    return _LIMIT.value if flags.FLAGS.is_parsed() else _DEFAULT
