"""The theoretical receptive field of every layer of a model.

    python -m experiments.analysis.theoretical_field --config=experiments/deeplab_v3/voc.py \
        --size=513,513 --output=runs/analysis

The fields are those of `--mode=summary`, which has costs beside them; here they are numbers for
other programs and a picture. Writes theoretical_field.json and theoretical_field.png.
"""

from experiments.analysis import command, growth, pictures
from jaxseg.inspection import summary


def _run() -> None:
    experiment = command.experiment()
    size = command.size(experiment)
    rows = growth.rows(summary.summarize(experiment.model, size).layers)
    output = growth.output_layer(experiment.model, size)
    found = {
        "output_field": output.field,
        "output_sees_all": output.whole,
        **growth.facts(rows, size),
    }
    for name, value in found.items():
        print(f"{name.replace('_', ' ')}: {value}")
    numbers = {"image": size, **found, "layers": rows}
    command.write("theoretical_field", numbers, pictures.growth(rows, size))


if __name__ == "__main__":
    command.start(_run)
