"""Each claim of the documentation is covered by a test or a record, which stands beside it here.

A changed sentence or renamed test must be changed here too. Tables are covered by the tests of
their generators (`test_results_*`), commands by `test_commands`.
"""

import ast
import functools
import json

import pytest

from experiments.readme_tables.page import RESULTS
from tests.conftest import ROOT

SAID = {  # page -> its words -> the tests that hold them
    "README.md": {
        "Run it again and it resumes": [
            "training/test_train.py::test_a_run_learns_and_its_folder_tells_all",
        ],
    },
    "docs/training.md": {
        "parameters do not depend on the output stride": [
            "backbones/test_resnet.py::test_parameters_do_not_depend_on_stride_or_rates",
            "inference/test_infer.py::test_output_stride_is_that_of_a_clone",
        ],
        "prints stride, rate, receptive field, parameters and multiply-adds of every layer": [
            "inspection/test_summary.py::test_plain_reaches_every_part_and_the_table_is_aligned",
            "inspection/test_summary.py::test_costs_are_those_of_the_papers",
        ],
        "A run whose crops are too small for its rates says so at its start": [
            "inspection/test_valid_taps.py::test_warns_of_taps_that_only_evaluation_sees",
        ],
        "and ends bit for bit as if it had never been interrupted": [
            "training/test_train.py::test_killed_and_stopped_at_any_moment_ends_bit_for_bit_the_same",
        ],
        "On SIGTERM it saves and exits with status 75": [
            "training/test_train.py::test_killed_and_stopped_at_any_moment_ends_bit_for_bit_the_same",
        ],
        "The loss is a weighted sum of terms": [
            "training/test_train.py::test_a_run_with_every_term_of_the_loss",
        ],
    },
    "docs/data.md": {
        "masks whose size differs from their image's, copies across splits": [
            "data/doctor/test_doctor.py::test_ids_outside_the_classes_are_named_with_their_files",
            "data/doctor/test_doctor.py::test_a_size_that_differs",
            "data/doctor/test_doctor.py::test_duplicates_are_found_across_splits_whatever_their_bytes",
        ],
        "The doctor draws what the network will see": [
            "data/doctor/test_doctor.py::test_views_are_those_of_the_transform",
        ],
        "Counts are checked against the official ones": [
            "data/prepare/test_prepare.py::test_the_splits_of_the_builders_are_the_published",
        ],
        "CamVid, VOC 2012, Cityscapes and ISBI EM were tested on the published files": [
            "data/prepare/test_prepare.py::test_real_files",
            "data/builders/test_instances.py::test_the_published_files",
        ],
        "an incomplete data set is never written": [
            "data/prepare/test_prepare.py::test_every_fault_is_named_and_nothing_is_written",
        ],
        "Images of hard classes can appear twice in an epoch": [
            "data/test_class_sampling.py::test_images_of_hard_classes_are_duplicated",
            "data/test_class_sampling.py::test_balanced_classes_are_equally_likely",
        ],
        "A test sends a checkerboard through every transform": [
            "data/augment/test_transforms.py::test_image_and_label_stay_together_to_the_pixel",
        ],
    },
    "docs/evaluation.md": {
        "defines each protocol as fields of `eval`": [
            "inference/test_protocols.py::test_every_protocol_has_values_that_go_together",
            "inference/test_protocols.py::test_the_flag_accepts_a_protocol",
        ],
        "does not depend on the batch size, on devices or processes, or on which other images": [
            "evaluation/test_same_numbers.py::test_every_protocol_has_the_same_counts_in_evaluate_and_predict",
            "evaluation/test_evaluate.py::test_two_processes_of_two_devices_count_the_same",
        ],
        "an evaluation needs less memory than a training step": [
            "inspection/test_summary.py::test_an_evaluation_holds_less_than_a_training_step",
        ],
        "the confusion matrix of every image": [
            "workdir/test_per_image.py::test_what_is_written_is_read",
        ],
        "its 95 % bootstrap interval over images": [
            "metrics/test_intervals.py::test_bootstrap_agrees_with_scipy",
        ],
        "get a t-interval over seeds, in a column of its own": [
            "metrics/test_intervals.py::test_intervals_over_seeds_equal_scipy",
            "reporting/test_chance.py::test_the_report_shows_both_and_merges_neither",
        ],
        'where its interval contains zero, the report says "not distinguishable"': [
            "reporting/test_chance.py::test_runs_that_cannot_be_told_apart_are_said_to_be",
        ],
        "the calibration error and, for two classes, the area under the ROC curve": [
            "metrics/test_probability.py::test_auc_equals_scikit_learn_for_any_scores",
            "metrics/test_probability.py::test_calibration_error_of_confident_networks",
        ],
        "differentiable mean field, on a permutohedral lattice or by exact sums over all pairs": [
            "postprocess/test_crf.py::test_exact_is_the_sum_over_all_pairs",
            "postprocess/test_crf.py::test_gradients_are_finite_differences",
        ],
        "`jaxseg predict` writes exactly the classes that `jaxseg evaluate` counts": [
            "evaluation/test_same_numbers.py::test_whole_images_have_the_same_counts_in_evaluate_and_predict",
        ],
    },
    "docs/receptive_field.md": {
        "Each program writes a picture and the numbers behind it": [
            "experiments/test_analysis_programs.py::test_each_writes_a_picture_and_numbers",
        ],
    },
    "docs/cluster.md": {
        "When a process dies, the others end within seconds": [
            "runtime/test_heartbeat.py::test_the_death_of_a_process_ends_the_others_with_its_name",
            "runtime/test_processes.py::test_a_killed_process_ends_the_other_and_one_process_goes_on",
        ],
        "with undisturbed ones, bit for bit": [
            "launch/test_slurm.py::test_a_real_slurm_preempts_requeues_and_sweeps",
        ],
        "Batch statistics are those of the whole batch, however many devices share it": [
            "runtime/test_processes.py::test_four_devices_take_the_same_step_as_one",
        ],
        "The numbers stay those of one device: in float64 the step agrees to 1e-10": [
            "runtime/test_processes.py::test_rows_and_states_over_devices_give_the_step_of_one",
            "runtime/test_processes.py::test_two_processes_train_and_evaluate_to_the_numbers_of_one",
        ],
        "with any number of processes and the same global batches": [
            "runtime/test_processes.py::test_a_killed_process_ends_the_other_and_one_process_goes_on",
            "data/test_loader.py::test_processes_share_out_the_same_batch",
        ],
        "their files are checked against schemas, and `gcloud` was mocked": [
            "launch/test_gke.py::test_variants_fit_the_schema",
            "launch/test_tpu_vm.py::test_makes_copies_and_runs_on_all_workers",
        ],
    },
    "docs/speed.md": {
        "prints no ratio on a machine that was busy": [
            "experiments/test_benchmarks.py::test_no_ratio_is_told_on_a_busy_machine",
        ],
        "a fast one, which tests show to be equal in value and gradient": [
            "layers/fast/test_conv.py::test_forms_agree_as_they_are_compiled_for_use",
            "layers/test_conv_transpose.py::test_both_forms_are_the_definition_in_value_and_gradient",
            "layers/test_pool.py::test_max_pool_and_its_gradient_with_many_ties",
            "layers/test_unpool.py::test_values_places_and_gradients_with_many_ties",
            "layers/test_resize.py::test_bilinear_and_its_gradient_equal_np_interp",
            "models/test_encnet.py::test_both_forms_have_the_same_gradients",
            "metrics/test_confusion.py::test_equals_scikit_learn",
        ],
    },
    "docs/models.md": {
        "Bold: equal to the published count": [
            "experiments/test_model_rows.py::test_another_count_or_field_than_published_is_refused",
        ],
    },
    "CONTRIBUTING.md": {
        "An id that the spec does not know stops the preparation": [
            "data/prepare/test_prepare.py::test_every_fault_is_named_and_nothing_is_written",
        ],
        "Every mode works with it, without any registration": [
            "models/test_all_models.py::test_no_public_model_is_left_out",
        ],
    },
    "docs/ablations.md": {
        "It may be stopped or killed at any time; the same command continues": [
            "launch/test_sweep.py::test_stopped_and_started_again_it_ends_in_the_same_table",
        ],
    },
    "docs/weights.md": {
        "none of which needs its framework to be installed": [
            "weights/readers/test_torch.py::test_values_of_every_type",
            "weights/readers/test_other_files.py::test_h5_values_by_full_name",
            "weights/readers/test_tf_checkpoint.py::test_every_array_comes_back",
            "weights/readers/test_caffemodel.py::test_blobs_by_layer_and_number",
        ],
        "each parameter of the network is used once or accounted for by name": [
            "weights/test_match.py::test_all_leftovers_of_both_sides_stand_in_one_error",
            "weights/test_match.py::test_twice_used_or_used_and_waived_is_refused",
        ],
        "folded into the first convolution, and another mean is refused": [
            "weights/test_match.py::test_another_deviation_of_the_pixels_is_folded_into_the_first_kernel",
            "weights/test_match.py::test_another_mean_of_the_pixels_is_refused_with_the_flag_to_set",
        ],
        "compare imported networks with torchvision, segmentation_models_pytorch, timm, LiteRT": [
            "other_libraries/test_torch_models.py::test_torchvision_deeplab_v3",
            "other_libraries/test_torch_models.py::test_smp",
            "other_libraries/test_timm_xception.py::test_features",
            "other_libraries/test_tflite.py::test_logits_and_classes_are_the_interpreters",
            "other_libraries/test_tf_checkpoint.py::test_logits_are_tensorflow_s",
            "other_libraries/test_caffe_dnn.py::test_pspnet",
        ],
    },
}


@functools.cache
def text_of(page):
    return " ".join((ROOT / page).read_text().split())


@functools.cache
def functions_of(path):
    return {n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("page", "words"), [(page, words) for page in SAID for words in SAID[page]]
)
def test_what_is_said_is_held_by_tests_that_are_there(page, words):
    assert words in text_of(page), f"{page} says it otherwise now"
    for node in SAID[page][words]:
        file, name = node.split("::")
        path = ROOT / "tests" / file
        assert path.is_file(), node
        assert name in functions_of(path), node


def record(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def crf():
    times, search = record("crf"), record("crf_search_voc")
    for part, words in (("iteration", "1.26"), ("image_of_10", "1.69")):
        ours, theirs = (times[part][name] for name in ("lattice", "pydensecrf2"))
        assert f"{ours['median'] / theirs['median']:.2f}" == words
    ours, theirs = (times["iteration"][name]["cpu"] for name in ("lattice", "pydensecrf2"))
    yield f"1.26 times pydensecrf2's wall-clock time ({ours / theirs:.2f} times its processor time)"
    yield "an image 1.69 times"
    labels = record("crf_labels")["summary"]
    yield f"its labels equal pydensecrf2's on {100 * labels['equal']:.2f} % of the pixels"
    exact = sorted(labels["crops"][f"{name}_is_exact"] for name in ("lattice", "pydensecrf2"))
    yield f"{100 * exact[0]:.1f} and {100 * exact[1]:.1f} %"
    best = search["best"]
    low, high = (100 * value for value in best["gain_interval"])
    yield f"+{100 * best['gain']:.1f} [{low:.1f}, {high:.1f}]"
    by_width = {}
    for setting in search["settings"]:
        by_width.setdefault(setting["w1 theta_alpha theta_beta"][1], []).append(setting)
    gains = [100 * setting["gain"] for setting in by_width[65]]
    yield f"at theta_alpha = 65 the gain is {min(gains):.1f} to {max(gains):.1f}"
    assert all(low < 0 < high for low, high in (s["gain_interval"] for s in by_width[100]))
    yield "at 100 no gain can be distinguished from zero"


def em():
    plain, tiled = (record(f"unet_isbi_em_small_errors{kind}")["errors"] for kind in ("", "_unet"))
    warping = "warping error, splits and mergers"
    rand, warp = plain["Rand error"]["all"], plain[warping]["all"]
    yield f"has a Rand error of {rand:.3f} and a warping error of {warp:.5f}"
    yield f"seven rotations, {tiled['Rand error']['all']:.3f} and {tiled[warping]['all']:.5f}"
    minutes = record("unet_isbi_em_small")["training"]["seconds"] / 60
    yield f"trained once for {minutes:.0f} minutes"


def clusters():
    state, rows = record("sharding_state")["bytes"], record("sharding_rows")["bytes"]["rows"]
    spread, whole = (state[f"state {how}"][0]["arguments"] for how in ("spread", "whole"))
    yield f"takes {spread / 1e6:.0f} MB instead of {whole / 1e6:.0f} MB on each of eight devices"
    one, *_, eight = rows
    assert (one["devices"], eight["devices"]) == (1, 8)
    yield f"{eight['temporary'] / 1e9:.2f} GB of temporary memory on each of eight devices"
    yield f"when its rows are split, and {one['temporary'] / 1e9:.1f} GB on one device"


def drills():
    kills = record("fault_drill")["drills"]["kills"]["kills"]
    yield f"kills a run at {kills} random moments"
    assert all(drill["passed"] for drill in record("fault_drill")["drills"].values())
    parts = record("fuzz").values()
    assert all(set(part["outcomes"]) == {"refused", "result"} for part in parts)
    yield f"all {sum(part['cases'] for part in parts):,} did"


def speed():
    cases = record("train_step")["cases"]
    peers = {
        "v3_plus-train-2x256": "smp channels_last",
        "pspnet-train-2x256": "torch-twin channels_last",
    }
    memory = {}
    for name, peer in peers.items():
        found = (cases[name]["contenders"][side]["resident_mb"] for side in ("jaxseg", peer))
        memory[name] = [value / 1000 for value in found]
    ours, theirs = memory["v3_plus-train-2x256"]
    yield f"{ours:.1f} against {theirs:.1f} GB in v3+ training"
    ours, theirs = memory["pspnet-train-2x256"]
    yield f"{ours:.1f} against {theirs:.1f} GB in PSPNet's"
    operations = record("operations")["operations"].values()
    parts = [part["compared"] for one in operations for part in one.values() if "compared" in part]
    targets = [part["met"] for part in parts if part["target"] is not None]
    assert all(targets)
    yield f"each of the benchmark's {len(targets)} targets is met"
    resnet, mobilenet = (
        record(f"evaluation_{name}")["compared"]["network to logits"]
        for name in ("resnet50", "mobilenet")
    )
    images = record("evaluation_mobilenet")["images"]
    yield f"takes {resnet['ratio']:.2f} times as long as the network alone on ResNet-50"
    each = 1000 * mobilenet["times"]["median"] / images
    yield f"{mobilenet['ratio']:.2f} times on MobileNetV2, which needs {each:.0f} ms an image"


def memory():
    told = dict(line.split(": ") for line in record("evaluation_memory")["told"])
    one, several, training = (
        int(told[name].split(" MiB as compiled")[0]) / 1024
        for name in ("eval step", "eval step, six scales", "train step")
    )
    yield f"takes {one:.1f} GiB, with six scales and flip {several:.1f} GiB"
    yield f"a training step {training:.1f} GiB (each compiled separately"
    whole = int(told["six scales"].split(" MiB")[0]) / 1024
    yield f"the memory of a process that also compiles them grows by {whole:.1f} GiB"


@pytest.mark.parametrize(
    ("page", "numbers"),
    [
        ("evaluation", crf),
        ("evaluation", em),
        ("evaluation", memory),
        ("cluster", clusters),
        ("robustness", drills),
        ("speed", speed),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_numbers_are_those_of_the_records(page, numbers):
    for words in numbers():
        assert words in text_of(f"docs/{page}.md")
