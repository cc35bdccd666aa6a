"""SegNet (arXiv 1511.00561), Table 1: upsampling and decoders, without class weights.

python -m launch.sweep --ablation=segnet/table1_natural --size=shapes
"""

from experiments.ablation.ablation import Ablation
from experiments.segnet import table1


def get_ablation() -> Ablation:
    """The half of the table that the paper calls natural frequency."""
    return table1.table(natural=True)
