"""The size limit of decoded images, since a small file may exhaust the memory.

OpenCV has its own limit, 2**30 pixels (OPENCV_IO_MAX_IMAGE_PIXELS); larger files are left to
Pillow, so that this flag is the only one.
"""

from absl import flags

_DEFAULT = 178_956_970  # pixels, like Pillow's: 0.5 GB of RGB
_LIMIT = flags.DEFINE_integer(
    "max_image_pixels",
    _DEFAULT,
    "The size limit of decoded images and masks, in pixels; 0: no limit.",
    0,
)


def limit() -> int:
    """The maximal number of pixels of an image, --max_image_pixels; 0: no limit."""
    return _LIMIT.value if flags.FLAGS.is_parsed() else _DEFAULT
