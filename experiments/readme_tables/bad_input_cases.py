"""The commands of docs/bad_input.md; `bad_input` runs them in a folder that it makes.

There, tiny.py is the quick start on 64 x 64 shapes for four steps and runs/a a finished run of it;
photos holds two images and a truncated JPEG, masks their masks and one more; notes.txt is a text
file.
"""

from collections.abc import Iterator

_QUICKSTART = "jaxseg train --config=experiments/quickstart.py --workdir=runs/x"
_TINY = "jaxseg train --config=tiny.py --workdir=runs/x"
_EVALUATE = "jaxseg evaluate --workdir=runs/a"
_PREDICT = "jaxseg predict --workdir=runs/a"
_OWN = "jaxseg prepare --name=folder/mine --images=photos --masks=masks"
_CONVERT = "jaxseg convert --config=experiments/quickstart.py"


def _each(command: str, *endings: str) -> tuple[str, ...]:
    return tuple(f"{command} {ending}".strip() for ending in endings)


SECTIONS: dict[str, tuple[str, ...]] = {
    "Commands, flags and fields": (
        "jaxseg trian --workdir=runs/x",
        "jaxseg train",
        "jaxseg train --config=experiments/quickstart.py",
        "jaxseg train --config=experiments/quikstart.py --workdir=runs/x",
        "jaxseg train --config=notes.txt --workdir=runs/x",
        *_each(
            _QUICKSTART,
            "--wrokdir=runs/y",
            "extra",
            "--inputs=photos",
            "--config.model.backbone.output_strid=8",
            "--config.model.backbone=8",
            "--config.optim.learning_rate=fast",
            "--config.train.steps=1.5",
            "--config.model.image_pooling=maybe",
            "--config.data.augment.flip False",
            "--config.model.atrous_rates=6,x",
            "--config.data.crop_size=64",
        ),
    ),
    "The network": _each(
        _TINY,
        "--config.model.num_classes=21",
        "--config.model.backbone.output_stride=7",
        "--config.model.backbone.depth=19",
        "--config.model.backbone.stride_at=last",
        "--config.model.decoder.low_level=stage9",
        "--config.model.atrous_rates=0,6",
        "--config.model.resize_convention=corner",
        "--config.model.dropout=1.5",
    ),
    "The data": _each(
        _TINY,
        "--config.data.data_dir=nowhere",
        "--config.data.name=shape",
        "--config.data.eval_split=test",
        "--config.data.batch_size=0",
        "--config.data.duplicate=ringg",
    ),
    "Loss and optimiser": _each(
        _TINY,
        "--config.loss.class_weights=1,2",
        "--config.loss.class_weights=1,1,1,1,1,1,-1",
        "--config.loss.label_smoothing=2",
        "--config.loss.hardest=0",
        "--config.loss.hardest=0.5 --config.loss.reduction=images",
        "--config.loss.reduction=sum",
        "--config.loss.cross_entropy=0 --config.loss.dice=0",
        "--config.optim.name=adam",
        "--config.optim.schedule=cosine",
        "--config.optim.warmup_steps=9999",
        "--config.optim.learning_rate=-1",
        "--config.optim.power=nan",
    ),
    "The loop": _each(
        _TINY,
        "--config.train.steps=0",
        "--config.train.steps=4294967296",
        "--config.train.eval_every=-1",
        "--config.train.seed=-1",
        "--config.train.keep=0",
        "--config.train.ema_decay=1",
        "--config.train.accumulate=3",
        "--config.train.rows=2",
        "--config.train.init_from=runs/none",
        "--config.train.init_partial=True",
    ),
    "Run folders": (
        "jaxseg train --config=tiny.py --workdir=notes.txt",
        "jaxseg train --workdir=runs/none",
        "jaxseg train --workdir=runs/a --config.model.aspp_features=32",
    ),
    "Evaluation": _each(
        _EVALUATE,
        "--protocol=psp",
        "--config.eval.output_stride=7",
        "--config.eval.output_stride=2",
        "--config.eval.scales=0",
        "--config.eval.batch_size=0",
        "--config.eval.size=0,64",
        "--config.eval.rotations=0",
        "--config.eval.border=black",
        "--config.eval.crop_size=65,65",
        "--config.eval.sliding=True --config.eval.stride=0",
        "--config.eval.sliding=True --config.eval.crop_size=8,8 --config.eval.margin=4",
        "--config.eval.fusion=max --config.eval.sliding=True",
        "--config.eval.crf=deeplab",
        "--config.eval.crf=1,2,3,4,5,nan",
        "--config.eval.crf_filter=fast",
        "--weights=nowhere.pth",
        "--weights=notes.txt",
    ),
    "Prediction": _each(
        _PREDICT,
        "",
        "--inputs=nowhere",
        "--inputs=masks/notes",
        "--inputs=photos --output=out",
        "--inputs=photos/a.png --output=notes.txt",
    ),
    "Images of your own": (
        "jaxseg prepare",
        "jaxseg prepare --name=voc",
        "jaxseg prepare --name=camvid",
        "jaxseg prepare --name=camvid --manual_dir=photos",
        "jaxseg prepare --name=folder/mine",
        "jaxseg prepare --name=folder/mine --images=nowhere --masks=masks --classes=classes.txt",
        *_each(_OWN, "--classes=none.txt", "--classes=classes.txt"),
        "jaxseg doctor --name=folder/mine",
        "jaxseg doctor --name=shapes/tiny --split=test",
        "jaxseg doctor --name=shapes/tiny --augment=rotation=400",
    ),
    "Weights, reports and summaries": (
        *_each(
            _CONVERT,
            "--output=init",
            "nowhere.pth",
            "nowhere.pth --output=init",
            "notes.txt --output=runs/a",
        ),
        "jaxseg report runs/none",
        "jaxseg report photos",
        "jaxseg report runs/a --output=notes.txt",
        "jaxseg summary --config=experiments/quickstart.py --size=64",
    ),
}


def commands() -> Iterator[str]:
    """All of them, in the order of the page."""
    for listed in SECTIONS.values():
        yield from listed
