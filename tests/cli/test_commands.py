"""Each command in README and the documentation is run here, or listed with the test that runs it.

`PROOFS` names every command as it is written. HERE: the slow test below runs it so, in a folder of
small data that `sandbox` makes. SMALL: likewise, with SHORTER behind it, since as it stands it
takes hours. PARSED: it needs a cluster, published weights or hours; its flags and overrides are
taken as the program takes them. Anything else names what runs it: `.ci/run`, or a test that runs
its program in the process or with a played cluster.

Names in capitals and folders of the reader stand for: photos, masks, classes.txt, holiday, cat.jpg
eight images of three classes; CITYSCAPES seven images in the published layout; out/test what
predict writes for its test image; my_table.py a copy of deeplab_v3/aspp.py; runs/NAME, A, B,
stride8, stride16 copies of runs/roads; FOLDER an empty folder.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.helpers.commands import all_commands

HERE, SMALL, PARSED, CI = "here", "here, shorter", "parsed", ".ci/run"
SHORTER = (
    " --config.train.steps=2 --config.train.eval_every=0 --config.data.batch_size=2"
    " --config.data.crop_size=65,65 --config.optim.warmup_steps=0"
)
SWEEP = "tests/launch/test_sweep.py::test_stopped_and_started_again_it_ends_in_the_same_table"

DEEPLAB = "jaxseg train --config=experiments/deeplab_v3_plus/camvid.py --workdir=runs/stride8 "
ANALYSIS = "python -m experiments.analysis."
TABLES = "python -m experiments.readme_tables."
SITUATIONS = "tests/experiments/test_field_reports.py::test_no_situation_ends_in_a_fault"
LAUNCHED = "tests/launch/test_local.py::test_each_process_is_told_who_it_is"
RELEASED = "tests/other_libraries/test_released_detectors.py::test_"
PROOFS = {
    "jaxseg prepare --name=folder/roads --images=photos --masks=masks --classes=classes.txt": HERE,
    "jaxseg doctor --name=folder/roads": HERE,
    "jaxseg train --config=experiments/deeplab_v3_plus/folder.py --workdir=runs/roads "
    "--config.data.name=folder/roads": SMALL,
    "jaxseg predict --workdir=runs/roads --inputs=holiday,cat.jpg": HERE,
    DEEPLAB + "--config.model.backbone.output_stride=8 --config.model.atrous_rates=4,8,12": PARSED,
    "jaxseg evaluate --workdir=runs/stride8 --config.eval.output_stride=16 "
    "--config.eval.flip=True": HERE,
    "jaxseg evaluate --workdir=runs/stride8 --config.eval.output_stride=16 "
    "--config.eval.scales=0.75,1,1.25 --config.eval.flip=True": HERE,
    "jaxseg summary --config=experiments/deeplab_v3/voc.py --size=513,513": HERE,
    "jaxseg report runs/stride8 runs/stride16": HERE,
    "jaxseg train --config=experiments/unet/camvid.py --workdir=runs/unet --config.loss.dice=0.5 "
    "--config.loss.hardest=0.25 --config.data.augment.elastic=10 --config.data.augment.rotation=15 "
    "--config.data.augment.border=mirror": PARSED,
    "jaxseg prepare --name=cityscapes --manual_dir=CITYSCAPES": HERE,
    "jaxseg doctor --name=cityscapes --augment=rotation=10 --augment=photometric=True": HERE,
    "jaxseg evaluate --workdir=runs/NAME --protocol=deeplab_v3_multi": HERE,
    "jaxseg evaluate --workdir=runs/instances": (
        "tests/tasks/test_instance_evaluation.py::test_it_leaves_numbers_detections_and_pictures"
    ),
    "jaxseg train --config=experiments/mask_rcnn/shapes.py --workdir=runs/instances": PARSED,
    "jaxseg predict --workdir=runs/instances --inputs=photos": (
        "tests/inference/test_object_files.py::test_it_finds_exactly_what_an_evaluation_judges"
    ),
    "jaxseg evaluate --workdir=runs/instances --config.eval.scales=0.75,1,1.25 "
    "--config.eval.flip=True": (
        "tests/test_detector.py::test_several_views_are_those_of_an_evaluation"
    ),
    "jaxseg evaluate --workdir=runs/instances --config.eval.semantic=True": (
        "tests/tasks/test_instance_evaluation.py::test_the_classes_of_pixels_are_evaluated_too"
    ),
    "jaxseg train --config=experiments/mask_rcnn/shapes.py --workdir=runs/cells "
    "--config.data.name=folder/cells --config.model.num_classes=3": PARSED,
    "jaxseg train --config=experiments/panoptic_fpn/shapes.py --workdir=runs/panoptic": PARSED,
    "jaxseg train --config=experiments/fpn/shapes.py --workdir=runs/proposals": PARSED,
    "jaxseg evaluate --workdir=runs/proposals": (
        "tests/tasks/test_proposals.py::"
        "test_the_record_has_recalls_that_pycocotools_finds_in_the_files"
    ),
    "jaxseg evaluate --workdir=runs/NAME --protocol=pspnet --config.eval.boundary=True": HERE,
    "jaxseg report runs/A runs/B": HERE,
    "jaxseg submission --server=cityscapes --predictions=out/test "
    "--images=CITYSCAPES/leftImg8bit/test --output=test.zip": HERE,
    "python -m launch.sweep --ablation=deeplab_v3/aspp --size=shapes --jobs=2": SWEEP,
    "python -m launch.sweep --ablation=deeplab_v3/aspp --size=camvid --backend=slurm --jobs=8": (
        "tests/launch/test_slurm_script.py::"
        "test_an_element_of_an_array_runs_its_line_and_requeues_only_itself"
    ),
    "python -m launch.sweep --ablation=my_table.py --backend=plan --change=train.steps=1000 "
    "--seeds=0,1,2": HERE,
    "python -m launch.sweep --ablation=tiny_net/table1 --size=shapes --jobs=2": SWEEP,
    ANALYSIS + "theoretical_field --config=experiments/deeplab_v3/voc.py --output=out": HERE,
    ANALYSIS + "effective_field --workdir=runs/NAME --output=out": HERE,
    ANALYSIS
    + "valid_taps --config=experiments/deeplab_v3/voc.py --size=513,513 --output=out": HERE,
    ANALYSIS + "gridding --chain=2,2,2 --chain=1,2,3 --output=out": HERE,
    "jaxseg predict --config=experiments/mask_rcnn/coco_torchvision.py "
    "--weights=maskrcnn_resnet50_fpn_coco.pth --inputs=photos --output=out": f"{RELEASED}predict",
    "jaxseg evaluate --config=experiments/mask_rcnn/coco_detectron2.py --weights=model_final.pkl "
    "--workdir=runs/detectron2": f"{RELEASED}evaluate",
    "jaxseg convert mask_rcnn_r50_fpn_1x_coco.pth "
    "--config=experiments/mask_rcnn/coco_mmdetection.py --output=weights/mmdetection": (
        f"{RELEASED}convert_and_load"
    ),
    "jaxseg train --config=experiments/mask_rcnn/coco_torchvision.py --workdir=runs/mine "
    "--config.data.name=folder/mine --config.model.num_classes=3 "
    "--config.train.init_from=maskrcnn_resnet50_fpn_coco.pth": PARSED,
    "jaxseg convert resnet101.pth --config=experiments/pspnet/voc.py --output=weights/pspnet": (
        "tests/training/test_start.py::test_the_command"
    ),
    "jaxseg train --config=experiments/pspnet/voc.py --workdir=runs/pspnet "
    "--config.train.init_from=weights/pspnet": PARSED,
    "jaxseg train --config=experiments/fcn/fcn16s_voc.py --workdir=runs/fcn16s "
    "--config.train.init_from=runs/fcn32s --config.train.init_partial=True": PARSED,
    "sbatch --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --time=240 launch/slurm.sh python -m "
    "jaxseg.main --config=experiments/deeplab_v3/voc.py --workdir=/shared/runs/v3": PARSED,
    "bash launch/tpu_vm.sh --name=seg --zone=us-central2-b --create=v4-32 --spot -- "
    ".venv/bin/python -m jaxseg.main --coordinator=auto --config=experiments/deeplab_v3/voc.py "
    "--workdir=../shared/v3": "tests/launch/test_tpu_vm.py::test_dry_run_only_prints",
    "kubectl apply -f launch/gke.yaml -l variant=gpu": (
        "tests/launch/test_gke.py::test_variants_fit_the_schema"
    ),
    "bash launch/local.sh 2 .venv/bin/python -m jaxseg.main --config=... --workdir=...": LAUNCHED,
    "python -m jaxseg.main --coordinator=HOST:PORT --processes=2 --process=0 ...": LAUNCHED,
    "jaxseg prepare --name=shapes/instances": (
        "tests/data/builders/test_shapes_instances.py::test_it_is_prepared_and_opened"
    ),
    "jaxseg doctor --name=shapes/instances --augment=jitter_range=0.5,2": (
        "tests/data/doctor/test_objects.py::test_the_drawn_set"
    ),
    "python -m experiments.benchmarks.detection_ops": (
        "tests/experiments/test_speed_page.py::test_detection"
    ),
    "python -m experiments.benchmarks.detectors": (
        "tests/experiments/test_speed_page.py::test_detectors"
    ),
    "python -m experiments.benchmarks.operations": (
        "tests/experiments/test_benchmarks.py::test_all_forms_of_a_measured_operation_agree"
    ),
    "python -m experiments.benchmarks.train_step": (
        "tests/experiments/test_benchmarks.py::test_contenders_are_processes_that_work_in_turn"
    ),
    "python -m experiments.benchmarks.loader": (
        "tests/experiments/test_benchmarks.py::test_a_round_counts_by_its_median_and_least_cpu_time"
    ),
    "python -m experiments.benchmarks.checksums": (
        "tests/workdir/test_checkpoint.py::test_checksums_see_every_type_and_every_bit"
    ),
    "python -m experiments.studies.protocol_comparison": (
        "tests/experiments/test_protocol_table.py::test_the_page_has_the_recorded_numbers"
    ),
    "python -m experiments.studies.penn_fudan_peer": (
        "tests/experiments/test_penn_fudan_peer.py::test_the_page_has_the_recorded_numbers"
    ),
    "python -m experiments.studies.crf_search": (
        "tests/experiments/test_crf_search.py::test_a_search_finds_the_best_and_goes_on_from_its_file"
    ),
    "python -m experiments.studies.em_errors": (
        "tests/experiments/test_em_errors.py::test_numbers_table_and_picture"
    ),
    TABLES + "ablations": (
        "tests/experiments/test_ablation_results.py::"
        "test_the_page_has_the_tables_of_the_kept_records"
    ),
    TABLES + "ablations FOLDER": (
        "tests/experiments/test_ablation_results.py::test_only_finished_sweeps_are_kept"
    ),
    TABLES + "models": (
        "tests/experiments/test_model_rows.py::test_the_committed_tables_are_the_generators"
    ),
    TABLES + "models TinyNet": (
        "tests/experiments/test_model_rows.py::test_the_committed_tables_are_the_generators"
    ),
    TABLES + "run_table": (
        "tests/experiments/test_run_table.py::test_the_committed_table_is_the_generators"
    ),
    TABLES + "protocol_table": (
        "tests/experiments/test_protocol_table.py::test_the_page_has_the_recorded_numbers"
    ),
    TABLES + "reference": "tests/experiments/test_reference.py::test_the_pages_are_the_programs",
    TABLES + "bad_input": "tests/experiments/test_bad_input.py::test_the_page_is_what_is_said",
    "bash experiments/studies/camvid_300.sh": (
        "tests/experiments/test_run_table.py::test_every_recorded_run_is_of_an_experiment"
    ),
    "python -m experiments.robustness.faults --workdir=FOLDER": (
        "tests/experiments/test_fault_drill.py::test_the_whole_drill_with_few_kills"
    ),
    "python -m experiments.robustness.field_reports": SITUATIONS,
    "python -m experiments.robustness.field_reports --workdir=runs/field_reports": SITUATIONS,
    "python -m experiments.robustness.field_reports --workdir=FOLDER "
    "--markdown=docs/field_reports.md": SITUATIONS,
    "python -m experiments.robustness.fuzz": (
        "tests/experiments/test_fuzz.py::test_the_command_writes_its_counts"
    ),
    "bash launch/quickstart.sh": CI,
    "bash launch/quickstart.sh instances": CI,
    "bash launch/test.sh": CI,
    "bash launch/test.sh -k fcn": CI,
    "bash .ci/run": CI,
}


# Pages of which a test of their own takes every command from the text and runs it.
PAGES = {
    "docs/own_images.md": (
        "tests/data/builders/test_own_images.py::test_each_layout_is_prepared_by_its_command"
    ),
}


def test_every_command_has_a_proof_and_every_proof_a_command():
    written = {
        command: file
        for file, each in all_commands(ROOT).items()
        if file not in PAGES
        for command in each
    }
    missing = {command: file for command, file in written.items() if command not in PROOFS}
    assert not missing, "run it in this file, or name in PROOFS the test that runs it"
    assert not set(PROOFS) - set(written), "no page shows these any more"


def test_every_named_test_is_there():
    ci = (ROOT / ".ci" / "run").read_text()
    for command, proof in (PROOFS | PAGES).items():
        if proof == CI:
            line = rf"^{command.partition(' -k')[0]}( --\S+)*$"
            assert command == "bash .ci/run" or re.search(line, ci, re.MULTILINE), command
        elif "::" in proof:
            file, _, name = proof.partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), proof


def picture(path, seed, size=(72, 80), colour=None):
    """An image with a square, or with `colour` its mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    top, left = rng.integers(4, 30, 2)
    label = np.zeros(size, np.uint8)
    label[top : top + 24, left : left + 24] = 1 + seed % 2
    if colour is None:
        Image.fromarray(rng.integers(0, 90, (*size, 3), np.uint8) + 60 * label[..., None]).save(
            path
        )
    else:
        Image.fromarray(label).save(path)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A checkout's folders beside small data, with a `python` that is this one."""
    folder = tmp_path_factory.mktemp("sandbox")
    for name in ("jaxseg", "experiments", "launch"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    for name, program in (("python", ""), ("jaxseg", " -m jaxseg")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{program} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    for seed in range(8):
        picture(folder / "photos" / f"{seed}.png", seed)
        picture(folder / "masks" / f"{seed}.png", seed, colour=True)
    picture(folder / "holiday" / "beach.jpg", 1)
    picture(folder / "cat.jpg", 2)
    (folder / "classes.txt").write_text("ground\nroad\nkerb\n")
    for split, numbers in (("train", (1, 2, 3)), ("val", (4, 5)), ("test", (6, 7))):
        for i in numbers:
            name = f"{split}/city/city_00000{i}_000019"
            at = folder / "CITYSCAPES"
            picture(at / "leftImg8bit" / f"{name}_leftImg8bit.png", i)
            picture(at / "gtFine" / f"{name}_gtFine_labelIds.png", i, colour=True)
            if split == "test":
                label = folder / "out" / "test" / "labels" / "city"
                picture(label / f"city_00000{i}_000019_leftImg8bit.png", i, colour=True)
    shutil.copy(ROOT / "experiments" / "deeplab_v3" / "aspp.py", folder / "my_table.py")
    return folder


def run(command, folder):
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.mark.long
@pytest.mark.slow
def test_the_commands_run_as_they_are_written(sandbox):
    """In the order of PROOFS: what one leaves behind is what the next takes up."""
    failed = {}
    for command, proof in PROOFS.items():
        if proof not in (HERE, SMALL):
            continue
        done = run(command + SHORTER * (proof == SMALL), sandbox)
        if done.returncode:
            failed[command] = (done.stdout + done.stderr)[-500:]
        if proof == SMALL:  # the runs that the others speak of
            assert not failed, failed
            for name in ("NAME", "A", "B", "stride8", "stride16"):
                shutil.copytree(sandbox / "runs" / "roads", sandbox / "runs" / name)
    assert not failed


def arguments_of(command):
    """What jaxseg.main is given by `jaxseg MODE`, or by a command that a launcher stands before."""
    name, mode, *flags = shlex.split(command)
    if name == "jaxseg":
        return [f"--mode={mode}", *flags]
    return shlex.split(command.partition("-m jaxseg.main ")[2])


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c, proof in PROOFS.items() if proof == PARSED])
def test_the_flags_of_the_others_are_taken(command, tmp_path):
    program = pathlib.Path(ROOT) / "tests" / "helpers" / "programs" / "parse_flags.py"
    done = subprocess.run(
        [sys.executable, str(program), *arguments_of(command)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
