"""The flags of the modes train, evaluate, predict and summary, and which mode reads which."""

from absl import flags
from ml_collections import config_flags

from jaxseg.data.readers import image_limit  # noqa: F401 - it defines --max_image_pixels

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment file; without it, the config of the run folder --workdir."
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run folder, written by train and read by the others."
)
MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict", "summary"], "To do.")
PROTOCOL = flags.DEFINE_string(
    "protocol", None, "The evaluation of a paper; see jaxseg/inference/protocols.py."
)
INPUTS = flags.DEFINE_list("inputs", [], "predict: images or folders of images.")
OUTPUT = flags.DEFINE_string("output", None, "predict: the output folder; WORKDIR/predictions.")
PROBABILITIES = flags.DEFINE_bool("probabilities", False, "predict: write probabilities as well.")
SCORE = flags.DEFINE_float(
    "score",
    None,
    "predict: the least score of the objects that a detector draws; 0.5.",
    lower_bound=0,
    upper_bound=1,
)
WEIGHTS = flags.DEFINE_string(
    "weights", None, "evaluate, predict: a file of trained weights instead of a checkpoint."
)
CHANGED_DATA = flags.DEFINE_bool(
    "changed_data",
    False,
    "train, evaluate: continue even if examples of the run's data have changed; predict: even if "
    "its classes have.",
)
SIZE = flags.DEFINE_list("size", None, "summary: height,width of the input.")
MEMORY = flags.DEFINE_bool(
    "memory", False, "summary: compile both steps to report their peak memory."
)
COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0, outside SLURM.")
PROCESSES = flags.DEFINE_integer("processes", 1, "With --coordinator: the number of processes.")
PROCESS = flags.DEFINE_integer("process", 0, "With --coordinator: the index of this process.")
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the Python traceback of an error.")
FLAGS = (
    *("config", "workdir", "protocol", "weights", "inputs", "output", "probabilities", "score"),
    *("size", "memory", "changed_data", "max_image_pixels", "coordinator", "processes", "process"),
    "traceback",
)
READ_BY = {  # the modes that read a flag, for flags that not all of them read
    "changed_data": ("train", "evaluate", "predict"),
    "inputs": ("predict",),
    "output": ("predict",),
    "probabilities": ("predict",),
    "score": ("predict",),
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
ENDS = """Without --config, the experiment of the run folder is used; flags can change any field.
Exit status: 0 success; 1 error, with one line that says why; 2 wrong flag; 75 stopped by a signal
after saving everything, to be started again."""


def strangers() -> list[str]:
    """Errors about flags of other modes, which this mode would ignore."""
    mode = MODE.value
    found = []
    for name, modes in READ_BY.items():
        if flags.FLAGS[name].present and mode not in modes:
            way = ""
            if (name, mode) == ("weights", "train"):
                way = "; a training starts from --config.train.init_from"
            found.append(f"--{name} belongs to --mode={' and '.join(modes)}, not to {mode}{way}")
    return found


def read_by(mode: str) -> list[str]:
    """The names of the flags that a mode reads; for "", those that any mode reads."""
    return [name for name in FLAGS if mode in READ_BY.get(name, (mode,)) or not mode]
