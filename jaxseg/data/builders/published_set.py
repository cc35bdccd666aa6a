"""The TFDS builder for all published data sets, which differ only in their description."""

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping

import tensorflow_datasets as tfds

from jaxseg.data import builders, records
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs

Finder = Callable[[pathlib.Path], pairs.Published]


@dataclasses.dataclass(frozen=True)
class PublishedSet:
    """A data set that is prepared from published files.

    Attributes:
      kind: its name.
      variants: what may follow the name after a slash ("": nothing) -> the function that finds its
        files under the user's folder, and the meaning of their ids.
      layout: of the files, for messages.
      homepage: its address.
      instances: the variants whose examples are images with objects.
    """

    kind: str
    variants: Mapping[str, tuple[Finder, LabelSpec]]
    layout: str
    homepage: str
    instances: Collection[str] = ()

    def find(self, variant: str, manual_dir: pathlib.Path) -> pairs.Published:
        """The published files; raises FileNotFoundError if there are none."""
        finder, _ = self.variants[variant]
        return finder(manual_dir)

    def builder(self, variant: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
        """The TFDS builder, which writes array_record files."""
        of = self

        class Files(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
            """Checks the files of `manual_dir`, all of them, before it writes any example."""

            name = of.kind
            VERSION = tfds.core.Version(builders.VERSIONS[of.kind])
            MANUAL_DOWNLOAD_INSTRUCTIONS = of.layout

            def _info(self) -> tfds.core.DatasetInfo:
                labels, instances = of.variants[variant][1], variant in of.instances
                return records.info(self, labels, of.homepage, instances=instances)

            def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
                return pairs.generators(self, of.find(variant, pathlib.Path(dl_manager.manual_dir)))

            def _generate_examples(
                self, published: pairs.Published, split: str
            ) -> Iterator[tuple[int, dict[str, object]]]:
                yield from pairs.examples(published, split)

        config = tfds.core.BuilderConfig(name=variant) if variant else None
        return Files(data_dir=data_dir, config=config, file_format="array_record")
