"""What a task is: the functions by which semantic and instance segmentation differ.

The modules `tasks.semantic` and `tasks.instance` are the two tasks; each has these functions.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data.class_sampling import Plan
from jaxseg.data.labels import LabelSpec
from jaxseg.data.loader import Source, TrainIterator
from jaxseg.evaluation.instance_split import InstanceEvaluation
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.image_files import Predictions
from jaxseg.state import TrainState
from jaxseg.types import Array, Outputs, Variables
from jaxseg.workdir import log

# (params, batch_stats, batch, key, whole) -> (loss, (terms, batch_stats)). The batch is what the
# gradient is of: a micro-batch of `whole`, or `whole` itself. The losses of the parts of a batch
# add up to the loss of the batch.
Objective = Callable[
    [Any, Any, Mapping[str, Array], Array, Mapping[str, Array]],
    tuple[Array, tuple[dict[str, Array], Any]],
]


class Task(Protocol):
    """The functions of a task."""

    def open_split(self, name: str, split: str, data_dir: str | pathlib.Path) -> Source:
        """Opens a prepared split.

        Raises:
          ValueError: the set has no such split, or belongs to another task.
          FileNotFoundError: it is not prepared.
        """

    def data_faults(
        self, experiment: config.Experiment, train: Source | None, test: Source | None
    ) -> list[str]:
        """What the data refuses; nothing is said about a split that is None."""

    def network_faults(
        self,
        experiment: config.Experiment,
        outputs: Outputs,
        variables: Variables,
        classes: int | None,
    ) -> list[str]:
        """What the network's outputs for one crop refuse.

        Args:
          experiment: whose network has its number of classes.
          outputs: of `shape_trace.trace_shapes`.
          variables: likewise.
          classes: of the data; None if unknown.
        """

    def protocol_faults(self, experiment: config.Experiment) -> list[str]:
        """What the network refuses of the protocol in `eval`; neither weights nor data are read."""

    def notices(self, experiment: config.Experiment, train: Source, test: Source) -> list[str]:
        """Lines about network and data for the user of a training that begins."""

    def plan(self, experiment: config.Experiment, train: Source) -> Plan:
        """Which examples are drawn how often.

        Raises:
          ValueError: no example can be drawn.
        """

    def iterator(
        self,
        experiment: config.Experiment,
        train: Source,
        plan: Plan,
        process_index: int,
        process_count: int,
    ) -> TrainIterator:
        """The endless training batches of one process."""

    def on_device(self, experiment: config.Experiment) -> tuple[str, ...]:
        """The names of a batch's arrays that a training step needs."""

    def objective(self, experiment: config.Experiment) -> Objective:
        """The loss of a batch, for `jax.grad`."""

    def validate(
        self,
        experiment: config.Experiment,
        state: TrainState,
        step: int,
        test: Source,
        mesh: Mesh,
        writer: log.Writer,
        progress: log.Progress,
    ) -> None:
        """Evaluates the state: numbers into the log, one line for the user, and pictures."""

    def predict_files(
        self,
        experiment: config.Experiment,
        variables: Variables,
        labels: LabelSpec,
        inputs: Sequence[str | pathlib.Path],
        output: pathlib.Path,
        *,
        probabilities: bool,
        score: float | None,
    ) -> Predictions:
        """Predicts every image of `inputs` and writes the results.

        Args:
          experiment: with model and protocol.
          variables: of the model.
          labels: the classes.
          inputs: image files and folders of them.
          output: the folder to write to.
          probabilities: write those of the classes of each pixel as well; never of a detector.
          score: from which on objects are drawn; None for the default, and always without objects.

        Raises:
          FileNotFoundError: an input does not exist.
          ValueError: the inputs contain no image, the model and the data differ in their number of
            classes, or scores are not finite.
        """

    def evaluate(
        self,
        experiment: config.Experiment,
        variables: Variables,
        source: Source,
        mesh: Mesh,
        *,
        progress: bool,
    ) -> Evaluation | InstanceEvaluation:
        """Evaluates weights on a split; every process gets the whole result.

        Raises:
          ValueError: an empty split, scores that are not finite, or another number of classes.
        """

    def record(
        self,
        folder: pathlib.Path,
        tag: str,
        evaluation: Any,
        experiment: config.Experiment,
        variables: Variables,
        source: Source,
        about: Mapping[str, Any],
    ) -> str:
        """Writes what `evaluate` has returned into RUN/eval, and pictures.

        Args:
          folder: RUN/eval.
          tag: from `eval_folder.tag`, with which the names of the files begin.
          evaluation: from `evaluate` with the same experiment, variables and source.
          experiment: likewise.
          variables: likewise.
          source: likewise.
          about: entries of the record that are the same for every task.

        Returns:
          The numbers as text, for the terminal.
        """
