"""The doctor's run on a set of instances, once it is known to be one."""

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
    """What the flags ask for.

    Attributes:
      splits: to look at; all of them where it is empty.
      picture: where it is written; None: no picture.
      preview: examples in the picture.
      views: augmented ones of each.
      augment: FIELD=VALUE of the views.
      most: objects of an image that training takes.
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
    """The splits of a set of instances; None of any other set.

    Raises:
      ValueError: a prepared set that is damaged.
      FileNotFoundError: it is not prepared.
    """
    if published:
        first = next(pair for found in published.splits.values() for pair in found)
        return objects_report.published(published) if first.objects else None
    folder = sources.prepared_folder(name, data_dir)
    if not sources.is_prepared(folder):
        return None  # the caller says how to prepare it
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
    """Reads, prints, draws; the exit status.

    Raises:
      ValueError: a split that is not there.
      augmented.WrongSetting: settings of views that cannot be.
    """
    if lost := [split for split in options.splits if split not in looked]:
        raise ValueError(f"{name} has no split {lost[0]!r}; it has: {', '.join(looked)}")
    looked = {s: each for s, each in looked.items() if not options.splits or s in options.splits}
    augmented.instance_transform_of(options.augment, 1)  # those of the other task are refused
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
