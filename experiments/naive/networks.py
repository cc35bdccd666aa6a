"""The networks of the naive baselines in the table of models (docs/models.md)."""

from experiments.readme_tables.model_rows import Row
from jaxseg.models.full_resolution import FullResolution
from jaxseg.models.patch_classifier import PatchClassifier

ROWS = (
    Row(
        "patch classifier",
        "",
        "naive baseline",
        PatchClassifier(21),
        runs=("patch_classifier_shapes",),
        scores="network/classifier",
    ),
    Row(
        "full resolution, 13 layers",
        "",
        "naive baseline",
        FullResolution(21, depth=13),
        runs=("full_resolution_shapes",),
    ),
)
