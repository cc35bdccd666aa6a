"""The flags of the modes train, evaluate, predict and summary, and which mode reads which."""

from absl import flags
from ml_collections import config_flags

from jaxseg.data.readers import image_limit  # noqa: F401 - it defines --max_image_pixels

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment file; without it, the config of the run folder --workdir."
)
WORKDIR = flags.DEFINE_string("workdir", None, "The run folder: made by train, read by the rest.")
MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict", "summary"], "To do.")
PROTOCOL = flags.DEFINE_string(
    "protocol", None, "A paper's evaluation: jaxseg/inference/protocols.py."
)
INPUTS = flags.DEFINE_list("inputs", [], "predict: images or folders of images.")
OUTPUT = flags.DEFINE_string("output", None, "predict: where to write; WORKDIR/predictions.")
PROBABILITIES = flags.DEFINE_bool("probabilities", False, "predict: write probabilities as well.")
WEIGHTS = flags.DEFINE_string(
    "weights", None, "evaluate, predict: a file of trained weights instead of a checkpoint."
)
CHANGED_DATA = flags.DEFINE_bool(
    "changed_data",
    False,
    "train, evaluate: go on although examples of the run's data have changed; predict: although "
    "its classes have.",
)
SIZE = flags.DEFINE_list("size", None, "summary: height,width of the input.")
MEMORY = flags.DEFINE_bool("memory", False, "summary: compile both steps for their peak memory.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, outside SLURM.")
PROCESSES = flags.DEFINE_integer("processes", 1, "With --coordinator: how many there are.")
PROCESS = flags.DEFINE_integer("process", 0, "With --coordinator: which one this is.")
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the Python traceback of an error.")
FLAGS = (
    *("config", "workdir", "protocol", "weights", "inputs", "output", "probabilities", "size"),
    *("memory", "changed_data", "max_image_pixels", "coordinator", "processes", "process"),
    "traceback",
)
READ_BY = {  # of the modes, a flag that is not read by all
    "changed_data": ("train", "evaluate", "predict"),
    "inputs": ("predict",),
    "output": ("predict",),
    "probabilities": ("predict",),
    "weights": ("evaluate", "predict"),
    "max_image_pixels": ("train", "evaluate", "predict"),
    "size": ("summary",),
    "memory": ("summary",),
}

USAGE = {
    "train": "--config=FILE --workdir=FOLDER",
    "evaluate": "--workdir=FOLDER [--protocol=NAME]",
    "predict": "--workdir=FOLDER --inputs=PHOTOS",
    "summary": "--config=FILE [--size=HEIGHT,WIDTH]",
}
ENDS = """Without --config the experiment of the run folder is read; flags change any field of it.
Exit status: 0 done; 1 refused or failed, with one line that says why; 2 a wrong flag; 75 stopped by
a signal with everything saved, to be started again."""


def strangers() -> list[str]:
    """Flags of another mode, which this one would leave unread."""
    mode = MODE.value
    found = []
    for name, modes in READ_BY.items():
        if flags.FLAGS[name].present and mode not in modes:
            way = ""
            if (name, mode) == ("weights", "train"):
                way = "; a training starts from --config.train.init_from"
            found.append(f"--{name} is of --mode={' and '.join(modes)}, not of {mode}{way}")
    return found


def read_by(mode: str) -> list[str]:
    """The names of the flags that a mode reads; "": that any does."""
    return [name for name in FLAGS if mode in READ_BY.get(name, (mode,)) or not mode]
