"""Prepares a set again and again, with its classes in one order and the other, until it is killed.

argv[1] is JSON: "folder" holds images, masks and the two files of classes; "data_dir".
"""

import json
import sys

from absl import flags

from jaxseg.data.prepare import prepare


def main(settings):
    folder = settings["folder"]
    print("ready", flush=True)
    for number in range(10_000):
        flags.FLAGS.unparse_flags()
        flags.FLAGS(
            [
                "prepare",
                "--name=folder/own",
                f"--images={folder}/images",
                f"--masks={folder}/masks",
                f"--classes={folder}/classes{number % 2}.txt",
                f"--data_dir={settings['data_dir']}",
                "--val_share=0.34",
                "--overwrite",
            ]
        )
        if prepare.main(["prepare"]):
            sys.exit("refused")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
