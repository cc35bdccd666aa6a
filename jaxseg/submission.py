r"""Packs the output of `--mode=predict` into the archive for a test server.

    python -m jaxseg.main --mode=predict --workdir=runs/v3 --inputs=cityscapes/leftImg8bit/test \
        --output=out/test
    python -m jaxseg.submission --server=cityscapes --predictions=out/test \
        --images=cityscapes/leftImg8bit/test --output=test.zip
    python -m jaxseg.submission --server=voc2012 --predictions=out/test --output=test.tgz \
        --images=VOCdevkit/VOC2012/JPEGImages \
        --list=VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt --competition=comp6

Every image needs a label map of its own size whose values are classes; if any is missing or wrong,
it is named, and nothing is written. The servers expect:

- VOC 2012 (development kit, section 5.3): results/VOC2012/Segmentation/COMPETITION_test_cls/
  NAME.png, palette images of class ids; comp5 for training on VOC only, comp6 if other data was
  used.
- Cityscapes (cityscapesScripts, evalPixelLevelSemanticLabeling): for each image one file whose name
  begins with CITY_SEQUENCE_FRAME, greyscale images of label ids, not of train ids.

Exit status: 0 success; 1 error, with a message; 2 wrong flag.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import flags

from jaxseg.cli import program
from jaxseg.errors import one_line
from jaxseg.evaluation.archive import named_in, write
from jaxseg.evaluation.server import COMPETITIONS, LABELS


def define_flags() -> None:
    """Defines the flags; called only by this command, since others share some names."""
    flags.DEFINE_enum("server", None, sorted(LABELS), "Whose archive.", required=True)
    flags.DEFINE_string("predictions", None, "The --output of --mode=predict.", required=True)
    flags.DEFINE_string("images", None, "The folder of the images.", required=True)
    flags.DEFINE_string("list", None, "A file with their names; default: all images of the folder.")
    flags.DEFINE_string("output", None, "The archive to write.", required=True)
    flags.DEFINE_enum("competition", "comp6", COMPETITIONS, "Of VOC.")


def main(arguments: Sequence[str]) -> int:
    """Checks and writes; errors are printed as one line."""
    values = flags.FLAGS
    if len(arguments) > 1:
        print(f"jaxseg: {arguments[1]!r} is not a flag; see --help", file=sys.stderr)
        return 2
    try:
        listed = pathlib.Path(values.list) if values.list else None
        images = named_in(pathlib.Path(values.images), listed)
        output = pathlib.Path(values.output)
        write(values.server, pathlib.Path(values.predictions), images, output, values.competition)
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    print(f"Written: {output}, {len(images)} label maps")
    return 0


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg submission`."""
    define_flags()
    program.start(
        program.Program(
            name="jaxseg submission",
            usage="--server=NAME --predictions=FOLDER --images=FOLDER --output=FILE",
            about=__doc__ or "",
            main=main,
            own=program.defined_in("jaxseg.submission", "jaxseg.data.readers.image_limit"),
        ),
        arguments,
    )


if __name__ == "__main__":
    from jaxseg import submission as named  # its flags belong to the module's name

    named.start(sys.argv[1:])
