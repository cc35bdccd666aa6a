"""What a `Segmenter` and a `Detector` share: another protocol, and variables on the device."""

import dataclasses
import pathlib
from typing import Protocol

import jax

from jaxseg import config
from jaxseg.inference import protocols
from jaxseg.types import Variables
from jaxseg.workdir import restore


class Opened(Protocol):
    """A trained network; `Segmenter` says what the attributes are."""

    @property
    def experiment(self) -> config.Experiment:
        """The network and its protocol."""

    @property
    def variables(self) -> Variables:
        """Of the network, on the host."""

    @property
    def step(self) -> int | None:
        """Of the checkpoint."""

    @property
    def source(self) -> tuple[pathlib.Path | None, str | None]:
        """The run folder and the weight file."""

    @property
    def placed(self) -> dict[bool, Variables]:
        """The variables on the device, by `use_ema`."""


def under(network: Opened, protocol: str | config.Eval | None) -> config.Experiment:
    """The experiment of a network with another protocol: a name, an `Eval`, or None for its own."""
    own = network.experiment.eval
    chosen = protocols.named(protocol, own) if isinstance(protocol, str) else protocol or own
    return dataclasses.replace(network.experiment, eval=chosen)


def on_device(network: Opened, use_ema: bool) -> Variables:
    """The variables on the device, with or without the average, as a protocol asks."""
    own = network.experiment.eval
    if use_ema not in network.placed:
        found = network.variables
        if use_ema != own.use_ema:
            protocol = dataclasses.replace(own, use_ema=use_ema)
            experiment = dataclasses.replace(network.experiment, eval=protocol)
            found, step = restore.restore(experiment, *network.source)
            if step != network.step:
                raise ValueError(
                    f"{network.source[0]} has since reached step {step}: load it again"
                )
        network.placed[use_ema] = jax.device_put(found)
    return network.placed[use_ema]
