r"""Converts a weight file of another framework into a checkpoint that experiments start from.

    python -m jaxseg.convert resnet101.pth --config=experiments/deeplab_v3/voc.py \
        --output=weights/deeplab_v3_voc
    python -m jaxseg.main --config=experiments/deeplab_v3/voc.py --workdir=runs/deeplab_v3_voc \
        --config.train.init_from=weights/deeplab_v3_voc

The checkpoint is complete for the experiment's model: it holds the values of the file and random
initial values for the rest. A file of a whole model fills all of the model; an ImageNet classifier
fills the backbone, and fc6 and fc7 if the model has them. If the number of classes differs,
classifiers are reinitialised. If data.normalisation.std differs from the one that the file's
network expects, the difference is folded into the first convolution; a different
data.normalisation.mean is an error. Nothing else is changed silently: tensors or leaves without a
counterpart, and shapes that differ, are listed in one error. These flags change that behaviour:

    --any_mean                        leave another mean to training (SegNet's release feeds VGG-16
                                      raw pixels, Dilation each data set less its own mean)
    --leave=aux_conv,aux_classifier   these parts are reinitialised, whatever the file holds
    --only=backbone                   take the extractor of a whole model, leave the rest
    --thin                            a part of fc6 and fc7 for a model with less (DeepLab LargeFOV)
    --input_channels=N                for images of N channels: one takes the sum of the first
                                      kernel's channels; N take them in turn, times 3 / N

--output is a folder: checkpoints/0, config.json (so --mode=evaluate --workdir=FOLDER works) and
converted.json, which names the origin of each leaf and the file's sha256. It appears when it is
complete, or not at all.

To keep what was loaded as it is, --config.optim.multipliers with a factor of 0 freezes parameters
(("^backbone/", 0.0)); running statistics still change, unless the backbone's norm.kind is "frozen".

Exit status: 0 success; 1 error, with a message; 2 wrong flag.
"""

import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from absl import flags, logging
from ml_collections import config_flags

from jaxseg.checks.experiment import check
from jaxseg.cli import command_line, program
from jaxseg.errors import one_line
from jaxseg.training.conversion import convert
from jaxseg.weights.place import Wishes


def define_flags() -> None:
    """Defines the flags; called when the command starts, since other commands share some names.

    (absl raises an error if a flag is defined twice in one process.)
    """
    config_flags.DEFINE_config_file("config", None, "The experiment that will start from the file.")
    flags.DEFINE_string("output", None, "The folder to write; must not exist.")
    flags.DEFINE_list("leave", [], "Patterns of parts to reinitialise: aux_conv,backbone/stage4*.")
    flags.DEFINE_string("only", "", "Load only what is under this path: backbone.")
    flags.DEFINE_bool(
        "any_mean", False, "Accept a file whose network expects another data.normalisation.mean."
    )
    flags.DEFINE_bool(
        "thin", False, "Take a part of fc6 and fc7 if those of the model are smaller."
    )
    flags.DEFINE_integer("input_channels", 0, "Number of image channels to adapt to; 0: RGB.", 0)
    flags.DEFINE_bool("verbose", False, "Print the origin of every leaf.")
    flags.DEFINE_bool("traceback", False, "Show the Python traceback of an error.")


def main(arguments: Sequence[str]) -> int:
    """Converts a file; an error that the user can fix is printed without a traceback."""
    values = flags.FLAGS
    wrong = ""
    if len(arguments) != 2:
        wrong = (
            f"{arguments[2]!r} is one argument too many"
            if len(arguments) > 2
            else "no FILE is named"
        )
    elif values.config is None:
        wrong = "no --config=experiments/NAME.py is given"
    elif not values.output:
        wrong = "--output=FOLDER is missing"
    if wrong:
        usage = "python -m jaxseg.convert FILE --config=experiments/NAME.py --output=FOLDER"
        print(f"jaxseg: {wrong}: {usage}", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.WARNING)
    try:
        check(values.config, "convert")
        command_line.prepare_jax(values.config)
        wishes = Wishes(
            tuple(values.leave),
            values.only,
            values.input_channels,
            any_mean=values.any_mean,
            thin=values.thin,
        )
        output = pathlib.Path(values.output)
        origins = convert(values.config, arguments[1], output, wishes)
    except (ValueError, OSError, KeyError) as error:
        if values.traceback:
            traceback.print_exc()
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxseg: interrupted, nothing was written", file=sys.stderr)
        return 1
    print("\n".join([*(origins.listing() if values.verbose else ()), *origins.summary()]))
    print(f"Written: {output}; to start from it: --config.train.init_from={output}")
    return 0


def start(arguments: Sequence[str]) -> NoReturn:
    """`jaxseg convert`."""
    define_flags()
    program.start(
        program.Program(
            name="jaxseg convert",
            usage="FILE --config=EXPERIMENT --output=FOLDER",
            about=__doc__ or "",
            main=main,
            own=program.defined_in("jaxseg.convert"),
            parse=command_line.parse,
            more=command_line.help_of_fields,
        ),
        arguments,
    )


if __name__ == "__main__":
    from jaxseg import convert as named  # its flags belong to the module's name

    named.start(sys.argv[1:])
