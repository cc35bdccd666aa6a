"""The tables of docs/speed.md are those of the records of the benchmarks."""

import json
import re

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "speed.md").read_text()
TITLES = {
    "DeepLab v3, training, 2 x 256 x 256": "v3-train-2x256",
    "DeepLab v3, training, 2 x 512 x 512": "v3-train-2x512",
    "DeepLab v3, inference, 2 x 256 x 256": "v3-inference-2x256",
    "DeepLab v3+, training, 2 x 256 x 256": "v3_plus-train-2x256",
    "DeepLab v3+, inference, 2 x 256 x 256": "v3_plus-inference-2x256",
}
OTHERS = {
    "U-Net on ResNet-50": "unet",
    "SegNet": "segnet",
    "PSPNet, ResNet-50": "pspnet",
    "DeepLab v3+, Xception-65": "v3_plus_xception",
}
OPERATIONS = {
    "atrous 3x3": [r"atrous 17x17 .*", r"atrous 33x33 .*", r"atrous 65x65 .*"],
    "ResNet's 3x3": [r"resnet .*", r"1x1 .*"],
    "depthwise": [r"depthwise .*"],
    "bilinear resize": [r"resize .*"],
    "max pool": [r"max pool .*"],
    "confusion matrix": [r"confusion matrix .*"],
}
DETECTORS = {"r18": "ResNet-18, 4 x 224 x 224", "r50": "ResNet-50, 2 x 512 x 512"}


def record(name):
    return json.loads((ROOT / "experiments" / "results" / f"{name}.json").read_text())


CASES = record("train_step")["cases"]


def row(title):
    (line,) = re.findall(rf"^\| {re.escape(title)} .*\|$", TEXT, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def median(case, name):
    return f"{case['contenders'][name]['median']:.2f}"


def beside(case, name):
    """Seconds and, in brackets, jaxseg's over them; "" where that was not run."""
    if name not in case["contenders"]:
        return ""
    return f"{median(case, name)} ({case['contenders'][name]['compared']['ratio']:.2f})"


@pytest.mark.parametrize("title", TITLES)
def test_deeplab_on_resnet_50(title):
    case = CASES[TITLES[title]]
    ours, *others = row(title)
    assert ours == median(case, "jaxseg")
    wanted = [beside(case, name) for name in ("smp channels_last", "smp")]
    if others[2]:  # jaxseg's plain form
        wanted.append(beside(case, "jaxseg plain"))
    assert others[: len(wanted)] == wanted


def test_keras_hub():
    case = record("train_step_keras_hub")["cases"]["v3_plus-train-2x256"]
    assert row("DeepLab v3+, training, 2 x 256 x 256")[-1] == beside(case, "keras-hub")
    parameters = case["contenders"]["keras-hub"]["parameters"]
    assert f"({parameters / 1e6:.1f} million" in TEXT


@pytest.mark.parametrize("title", OTHERS)
def test_other_networks(title):
    library, *cells = row(title)
    name = {"smp": "smp channels_last", "twin": "torch-twin channels_last"}[library]
    wanted = []
    for kind in ("train", "inference"):
        case = CASES[f"{OTHERS[title]}-{kind}-2x256"]
        wanted += [median(case, "jaxseg"), beside(case, name)]
    assert cells == wanted


@pytest.mark.parametrize("title", OPERATIONS)
def test_operations(title):
    found = record("operations")["operations"]
    shown = re.findall(
        r"[\d.]+(?:-[\d.]+)?", re.findall(rf"^\| {title}.*\| (.*) \|$", TEXT, re.M)[0]
    )
    for pattern, own in zip(OPERATIONS[title], shown, strict=True):
        ratios = [
            (one.get("both") or one["value"])["compared"]["ratio"]
            for name, one in found.items()
            if re.fullmatch(pattern, name)
        ]
        ends = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else f"{ratios[0]:.2f}"
        assert own == ends


def milliseconds(case, name):
    """Of the CPU; with the share of torchvision's in brackets for others."""
    value = 1e3 * case["contenders"][name]["cpu"]
    cell = f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return cell if name == "torchvision" else f"{cell} ({case['cpu_ratio'][name]:.2f})"


@pytest.mark.parametrize("name", record("detection_ops")["cases"])
def test_detection(name):
    case = record("detection_ops")["cases"][name]
    assert row(f"{name} |") == [milliseconds(case, n) for n in ("torchvision", "auto", "plain")]
    assert case["met"] is not False


@pytest.mark.parametrize("name", record("detectors")["cases"])
def test_detectors(name):
    case = record("detectors")["cases"][name]
    network, _, kind = name.partition("-")
    title = f"Mask R-CNN, {DETECTORS[network]}, {kind.replace('train', 'training')} |"
    theirs, ours = (f"{min(case['cpu'][side]):.2f}" for side in ("torchvision", "jaxseg"))
    assert row(title) == [theirs, f"{ours} ({case['cpu_ratio']:.2f})"]
    seen = case["numbers"]
    assert seen["torchvision"]["mask_rois"] == seen["jaxseg"]["mask_rois"] > 0
