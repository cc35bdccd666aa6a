"""One process of a tiny training run: argv[1] is JSON, its end state goes to the file "out".

With "objects", the folder of a prepared shapes/instances, Panoptic FPN is trained on it, in
float64.
"""

import json
import sys

import numpy as np

from jaxseg import config, train
from jaxseg.layers.compute import Compute
from jaxseg.runtime import processes
from tests.helpers import detectors
from tests.helpers.programs import tiny


def of_objects(settings):
    experiment = detectors.panoptic_experiment(settings["objects"], **settings["train"])
    experiment.model = config.with_fields(experiment.model, {"compute": Compute("float64")})
    return experiment


def of_pixels(settings):
    experiment = tiny.experiment(tiny.Tiny(**settings.get("model", {})), **settings["train"])
    experiment.optim.learning_rate = settings.get("learning_rate", 0.05)
    for name, value in settings.get("loss", {}).items():
        setattr(experiment.loss, name, value)
    return experiment


def main(settings):
    processes.initialize(
        settings.get("coordinator"), settings.get("processes", 1), settings.get("process", 0)
    )
    experiment = of_objects(settings) if "objects" in settings else of_pixels(settings)
    sources = None if "objects" in settings else tiny.sources(settings.get("pause", 0.0))
    if "data_dir" in settings:
        experiment.data.name, experiment.data.data_dir = "shapes/tiny", settings["data_dir"]
        sources = None
    try:
        state = train.fit(experiment, settings["workdir"], data=sources)
    except (ValueError, OSError) as error:
        sys.exit(f"jaxseg: {error}")
    if processes.is_main():
        np.savez(settings["out"], **tiny.leaves(state))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
