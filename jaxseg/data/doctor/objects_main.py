"""The doctor's run on an instance set."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from jaxseg.data import source as sources
from jaxseg.data.doctor import augmented, objects_picture, objects_report, survey
from jaxseg.data.doctor.objects import LookedObjects
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs


@dataclasses.dataclass(frozen=True)
class Options:
    """The values of the flags.

    Attributes:
      splits: to inspect; empty: all of them.
      picture: its path; None: no picture.
      preview: number of examples in the picture.
      views: number of augmented views of each.
      augment: FIELD=VALUE for the views.
      most: number of objects per image that training uses.
    """

    splits: Sequence[str]
    picture: pathlib.Path | None
    preview: int
    views: int
    augment: Sequence[str]
    most: int


def read(
    name: str, published: pairs.Published | None, data_dir: pathlib.Path
) -> tuple[Mapping[str, LookedObjects], LabelSpec] | None:
    """The splits of an instance set; None for any other set, or one that is not prepared.

    Raises:
      ValueError: the prepared set is damaged.
    """
    if published:
        first = next(pair for found in published.splits.values() for pair in found)
        return objects_report.published(published) if first.objects else None
    folder = sources.prepared_folder(name, data_dir)
    if not sources.is_prepared(folder):
        return None
    split = sources.splits(folder)[0]
    if not sources.Source(name, split, folder).holds_instances:
        return None
    return objects_report.prepared(name, folder)


def run(
    name: str,
    looked: Mapping[str, LookedObjects],
    labels: LabelSpec,
    published: pairs.Published | None,
    options: Options,
) -> int:
    """Inspects the set, prints the report and draws the picture; returns the exit status.

    Raises:
      ValueError: a split does not exist.
      augmented.WrongSetting: a setting of the views is invalid.
    """
    if lost := [split for split in options.splits if split not in looked]:
        raise ValueError(f"{name} has no split {lost[0]!r}; it has: {', '.join(looked)}")
    looked = {s: each for s, each in looked.items() if not options.splits or s in options.splits}
    augmented.instance_transform_of(options.augment, 1)  # raises for fields of data.augment
    found = objects_report.surveys(looked, labels)
    doubled = survey.doubled({split: each.images for split, each in found.items()})
    wrong = objects_report.problems(found, doubled, published)
    print(objects_report.text(name, found, wrong, options.most))
    if options.picture:
        sides = [max(size) for each in found.values() for size in each.images.sizes()]
        transform = augmented.instance_transform_of(options.augment, max(sides, default=1))
        objects_picture.draw(
            name,
            looked,
            found,
            options.picture,
            options.preview,
            transform=transform,
            views=options.views,
        )
        print(f"Picture: {options.picture}")
    return 1 if wrong else 0
