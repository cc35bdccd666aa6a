"""All sets that are prepared from published files, by name."""

import importlib

from jaxseg.data import builders
from jaxseg.data.builders import shapes, shapes_instances
from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.stuff import with_background

_OTHERS = ("folder", "shapes")  # from your own files; drawn

SETS: dict[str, PublishedSet] = {
    kind: importlib.import_module(f"{builders.__name__}.{kind}").SET
    for kind in builders.VERSIONS
    if kind not in _OTHERS
}


def fixed_labels(name: str) -> LabelSpec | None:
    """The classes of a set if its name determines them; None for your own and unknown sets.

    Args:
      name: of the set: "voc2012", "cityscapes/coarse", "shapes/thin".
    """
    kind, _, own = name.partition("/")
    if kind == "shapes":
        instances = own == shapes_instances.STANDARD.name
        return with_background(shapes_instances.LABELS, name) if instances else shapes.LABELS
    if kind in SETS and own in SETS[kind].variants:
        return SETS[kind].variants[own][1]
    return None
