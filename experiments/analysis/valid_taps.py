"""How many weights of atrous filters lie on their maps: DeepLab v3's Figure 4, for any map.

    python -m experiments.analysis.valid_taps --output=runs/analysis
    python -m experiments.analysis.valid_taps --config=experiments/deeplab_v3/voc.py \
        --size=513,513 --output=runs/analysis

Without an experiment: a 3x3 filter on a map of --map (65, as the figure), rates 1 to --largest, and
the share of outer taps for the rates on the maps of --maps. With one: also each atrous convolution
of its model at --size. Writes valid_taps.json and valid_taps.png.
"""

from absl import flags

from experiments.analysis import command, pictures, taps
from jaxseg.inspection import summary

_MAP = flags.DEFINE_integer("map", 65, "Height and width of the figure's map.", 1)
_LARGEST = flags.DEFINE_integer("largest", 100, "Largest rate of the figure.", 1)
_MAPS = flags.DEFINE_list("maps", ["17", "33", "65", "129"], "Maps to compare.")


def _run() -> None:
    rates = range(1, _LARGEST.value + 1)
    figure = taps.curves(_MAP.value, rates)
    maps = {n: taps.curves(n, rates) for n in command.integers("maps", _MAPS.value)}
    experiment = command.given_experiment()
    own: list[taps.Validity] = []
    if experiment is not None:
        size = command.size(experiment)
        own = taps.of_layers(summary.summarize(experiment.model, size).layers)
        print(f"{len(own)} atrous convolutions for an image of {size[0]} x {size[1]}")
    for found in own:
        height, width = found.size
        print(
            f"{found.name}: rate {found.rate} on {height} x {width}: {found.outer:.1%} of the "
            f"outer taps on the map, {found.degenerate:.1%} of the positions with the centre alone"
        )
    numbers = {
        "figure": [taps.to_json(found) for found in figure],
        "maps": {str(n): [found.outer for found in curve] for n, curve in maps.items()},
        "layers": [taps.to_json(found) for found in own],
    }
    command.write("valid_taps", numbers, pictures.valid_taps(figure, maps, own))


if __name__ == "__main__":
    command.start(_run)
