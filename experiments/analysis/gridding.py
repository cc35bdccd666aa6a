"""Which pixels stacked atrous convolutions reach: the holes of equal rates, and the remedy.

    python -m experiments.analysis.gridding --output=runs/analysis
    python -m experiments.analysis.gridding --chain=4,4,4 --chain=4,8,16 --output=runs/analysis
    python -m experiments.analysis.gridding --config=experiments/deeplab_v3/voc.py \
        --output=runs/analysis

Without an experiment the chains of 3x3 convolutions given by --chain are drawn; with one, those of
its model. Writes gridding.json and gridding.png.
"""

from absl import flags

from experiments.analysis import chains, command, pictures
from jaxseg.inspection import summary

_CHAIN = flags.DEFINE_multi_string(
    "chain", ["2,2,2", "1,2,3", "2,4,8", "1,2,4"], "Rates of 3x3 convolutions; may be repeated."
)


def _run() -> None:
    experiment = command.given_experiment()
    if experiment is None:
        given = [command.integers("chain", text.split(",")) for text in _CHAIN.value]
        found = [chains.chain("3x3 convolutions", rates) for rates in given]
    else:
        size = command.size(experiment)
        found = chains.of_layers(summary.summarize(experiment.model, size).layers)
        if not found:
            raise ValueError(
                f"{type(experiment.model).__name__} has no stack of atrous convolutions at --size="
                f"{size[0]},{size[1]}; without --config, --chain=2,2,2 draws one"
            )
    for chain in found:
        print(
            f"{chain.name}: rates {','.join(map(str, chain.rates))}, field {chain.size} x "
            f"{chain.size}, {chain.untouched:.1%} of it untouched, roughness {chain.roughness:.2f}"
        )
    command.write("gridding", [chains.to_json(chain) for chain in found], pictures.gridding(found))


if __name__ == "__main__":
    command.start(_run)
