"""What README says is held by a test or by a record: each claim beside what holds it.

A sentence that is changed has to be changed here too, and so has a test that is renamed. What a
table says is held by the tests of its generator (`test_results_*`), commands by `test_commands`.
"""

import ast
import functools
import json

import pytest

from experiments.readme_tables.models import RESULTS
from tests.conftest import ROOT

SAID = {  # words of README -> the tests that hold them
    "Run it again and it resumes": ["test_train.py::test_a_run_learns_and_its_folder_tells_all"],
    "parameters do not depend on the output stride": [
        "backbones/test_resnet.py::test_parameters_do_not_depend_on_stride_or_rates",
        "test_inference.py::test_output_stride_is_that_of_a_clone",
    ],
    "prints stride, rate, receptive field, parameters and multiply-adds": [
        "test_summary.py::test_plain_reaches_every_part_and_the_table_is_aligned",
        "test_summary.py::test_costs_are_those_of_the_papers",
    ],
    "whose crops are too small for its rates says so at its start": [
        "test_reach.py::test_warns_of_taps_that_only_evaluation_sees"
    ],
    "goes on from its last checkpoint and ends bit for bit as if it had not been": [
        "test_train.py::test_killed_and_stopped_at_any_moment_ends_bit_for_bit_the_same"
    ],
    "on SIGTERM it saves and exits with 75": [
        "test_train.py::test_killed_and_stopped_at_any_moment_ends_bit_for_bit_the_same"
    ],
    "loss is a weighted sum of terms": ["test_train.py::test_a_run_with_every_term_of_the_loss"],
    "ids that no class has, masks of another size than their image, copies across splits": [
        "data/test_doctor.py::test_ids_outside_the_classes_are_named_with_their_files",
        "data/test_doctor.py::test_a_size_that_differs",
        "data/test_doctor.py::test_duplicates_are_found_across_splits_whatever_their_bytes",
    ],
    "The doctor draws what the network will see": [
        "data/test_doctor.py::test_views_are_those_of_the_transform"
    ],
    "counts are held against the official ones": [
        "data/test_prepare.py::test_the_splits_of_the_builders_are_the_published"
    ],
    "CamVid, VOC 2012, Cityscapes and ISBI EM were tried on published files": [
        "data/test_prepare.py::test_real_files"
    ],
    "holds each protocol as fields of `eval`": [
        "test_protocols.py::test_every_protocol_has_values_that_go_together",
        "test_protocols.py::test_the_flag_takes_a_protocol",
    ],
    "Each writes a picture and its numbers": [
        "test_analysis_programs.py::test_each_writes_a_picture_and_numbers"
    ],
    "When a process dies, the others end within seconds": [
        "test_peers.py::test_the_death_of_a_process_ends_the_others_with_its_name",
        "test_distributed.py::test_a_killed_process_ends_the_other_and_one_process_goes_on",
    ],
    "against undisturbed ones, bit for bit": [
        "launch/test_slurm.py::test_a_real_slurm_preempts_requeues_and_sweeps"
    ],
    "prints no ratio on a machine that was busy": [
        "test_benchmarks.py::test_no_ratio_is_told_on_a_busy_machine"
    ],
    "bold: equal to the published count": [
        "test_results_models.py::test_another_count_or_field_than_published_is_refused"
    ],
    "An id that the spec does not know stops the preparation": [
        "data/test_prepare.py::test_every_fault_is_named_and_nothing_is_written"
    ],
    "and nothing is written as complete": [
        "data/test_prepare.py::test_every_fault_is_named_and_nothing_is_written"
    ],
    "Images of hard classes can stand twice in an epoch": [
        "data/test_class_sampling.py::test_images_of_hard_classes_stand_twice",
        "data/test_class_sampling.py::test_balanced_classes_are_equally_likely",
    ],
    "A checkerboard goes through every transform in the tests": [
        "data/test_transforms.py::test_image_and_label_stay_together_to_the_pixel"
    ],
    "a number does not depend on batch, devices, processes, or on what other images a set holds": [
        "test_same_numbers.py::test_every_protocol_counts_the_same_whoever_asks",
        "test_evaluate.py::test_two_processes_of_two_devices_count_the_same",
    ],
    "an evaluation holds less than a training step": [
        "test_summary.py::test_an_evaluation_holds_less_than_a_training_step"
    ],
    "the confusion matrix of every image": ["test_per_image.py::test_what_is_written_is_read"],
    "its 95 % bootstrap interval over images": [
        "test_uncertainty.py::test_bootstrap_agrees_with_scipy"
    ],
    "get a t-interval over seeds, in a column of its own": [
        "test_uncertainty.py::test_intervals_over_seeds_equal_scipy",
        "test_report_uncertainty.py::test_the_report_shows_both_and_merges_neither",
    ],
    'where its interval holds zero the report says "not distinguishable"': [
        "test_report_uncertainty.py::test_runs_that_cannot_be_told_apart_are_said_to_be"
    ],
    "the calibration error and, of two classes, the area under the ROC curve": [
        "test_probability_metrics.py::test_auc_is_scikit_learns_whatever_the_scores",
        "test_probability_metrics.py::test_calibration_error_of_confident_networks",
    ],
    "mean field with gradients, on a permutohedral lattice or by exact sums over all pairs": [
        "postprocess/test_crf.py::test_exact_is_the_sum_over_all_pairs",
        "postprocess/test_crf.py::test_gradients_are_finite_differences",
    ],
    "may be stopped or killed at any time: the same command goes on": [
        "launch/test_sweep.py::test_stopped_and_started_again_it_ends_in_the_same_table"
    ],
    "none of them with its framework installed": [
        "weights/test_torch_file.py::test_values_of_every_type",
        "weights/test_other_files.py::test_h5_values_by_full_name",
        "weights/test_tf_checkpoint_file.py::test_every_array_comes_back",
        "weights/test_caffemodel_file.py::test_blobs_by_layer_and_number",
    ],
    "Each tensor and each parameter is used once or accounted for by name": [
        "weights/test_match.py::test_all_leftovers_of_both_sides_stand_in_one_error",
        "weights/test_match.py::test_twice_used_or_used_and_waived_is_refused",
    ],
    "another deviation is folded into the first convolution, another mean is refused": [
        "weights/test_match.py::test_another_deviation_of_the_pixels_is_folded_into_the_first_kernel",
        "weights/test_match.py::test_another_mean_of_the_pixels_is_refused_with_the_flag_to_set",
    ],
    "The tests hold imported networks to torchvision, segmentation_models_pytorch, timm, LiteRT": [
        "peers/test_torch_models.py::test_torchvision_deeplab_v3",
        "peers/test_torch_models.py::test_smp",
        "peers/test_timm_xception.py::test_features",
        "peers/test_tflite.py::test_logits_and_classes_are_the_interpreters",
        "peers/test_tf_checkpoint.py::test_logits_are_tensorflow_s",
        "peers/test_caffe_dnn.py::test_pspnet",
    ],
    "batch statistics are those of the whole batch, on any number of them": [
        "test_distributed.py::test_four_devices_take_the_same_step_as_one"
    ],
    "The numbers stay those of one device: in float64 the step agrees to 1e-10": [
        "test_distributed.py::test_rows_and_states_over_devices_give_the_step_of_one",
        "test_distributed.py::test_two_processes_train_and_evaluate_to_the_numbers_of_one",
    ],
    "with any number of processes and the same global batches": [
        "test_distributed.py::test_a_killed_process_ends_the_other_and_one_process_goes_on",
        "data/test_loader.py::test_processes_share_out_the_same_batch",
    ],
    "their files are checked against schemas, and `gcloud` was played": [
        "launch/test_gke.py::test_variants_fit_the_schema",
        "launch/test_tpu_vm.py::test_makes_copies_and_runs_on_all_workers",
    ],
    "name it in an experiment file, and every mode works with it; no registry": [
        "models/test_all_models.py::test_no_public_model_is_left_out"
    ],
    "a fast one that tests hold equal in value and gradient": [
        "layers/test_conv.py::test_forms_agree_as_they_are_compiled_for_use",
        "layers/test_conv_transpose.py::test_both_forms_are_the_definition_in_value_and_gradient",
        "layers/test_pool.py::test_max_pool_and_its_gradient_with_many_ties",
        "layers/test_unpool.py::test_values_places_and_gradients_with_many_ties",
        "layers/test_resize.py::test_bilinear_and_its_gradient_are_those_of_np_interp",
        "models/test_encnet.py::test_both_forms_have_the_same_gradients",
        "test_metrics.py::test_equals_scikit_learn",
    ],
    "and `--mode=predict` writes the very classes that `--mode=evaluate` counts": [
        "test_same_numbers.py::test_whole_images_count_the_same_whoever_asks"
    ],
}


def normal(text):
    return " ".join(text.split())


README = normal((ROOT / "README.md").read_text())


@functools.cache
def functions_of(path):
    return {n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("words", SAID)
def test_what_is_said_is_held_by_tests_that_are_there(words):
    assert normal(words) in README, "README says it otherwise now"
    for node in SAID[words]:
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
    yield f"takes 1.26 of pydensecrf2's time by the clock ({ours / theirs:.2f} of processor time)"
    yield "an image 1.69"
    labels = record("crf_labels")["summary"]
    yield f"are pydensecrf2's on {100 * labels['equal']:.2f} % of the pixels"
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
    yield "at 100 none can be told"


def em():
    plain, tiled = (record(f"unet_isbi_em_small_errors{kind}")["errors"] for kind in ("", "_unet"))
    warping = "warping error, splits and mergers"
    rand, warp = plain["Rand error"]["all"], plain[warping]["all"]
    yield f"has a Rand error of {rand:.3f} and a warping error of {warp:.5f}"
    yield f"seven turns, {tiled['Rand error']['all']:.3f} and {tiled[warping]['all']:.5f}"
    minutes = record("unet_isbi_em_small")["training"]["seconds"] / 60
    yield f"trained once, for {minutes:.0f} minutes"


def clusters():
    state, rows = record("sharding_state")["bytes"], record("sharding_rows")["bytes"]["rows"]
    spread, whole = (state[f"state {how}"][0]["arguments"] for how in ("spread", "whole"))
    yield f"on eight devices: {spread / 1e6:.0f} instead of {whole / 1e6:.0f} MB"
    one, *_, eight = rows
    assert (one["devices"], eight["devices"]) == (1, 8)
    yield f"{eight['temporary'] / 1e9:.2f} GB of temporary memory on each of eight devices"
    yield f"by rows, {one['temporary'] / 1e9:.1f} on one"


def drills():
    kills = record("fault_drill")["drills"]["kills"]["kills"]
    yield f"kills a run at {kills} random moments"
    assert all(drill["passed"] for drill in record("fault_drill")["drills"].values())
    parts = record("fuzz").values()
    assert all(set(part["outcomes"]) == {"refused", "result"} for part in parts)
    yield f"all of {sum(part['cases'] for part in parts):,} did"


def speed():
    cases = record("train_step")["cases"]
    memory = {
        name: (cases[name]["contenders"]["jaxseg"]["resident_mb"] / 1000,
               cases[name]["contenders"][peer]["resident_mb"] / 1000)
        for name, peer in (("v3_plus-train-2x256", "smp channels_last"),
                           ("pspnet-train-2x256", "torch-twin channels_last"))
    }  # fmt: skip
    ours, theirs = memory["v3_plus-train-2x256"]
    yield f"{ours:.1f} against {theirs:.1f} GB in v3+ training"
    ours, theirs = memory["pspnet-train-2x256"]
    yield f"{ours:.1f} against {theirs:.1f} GB in PSPNet's"
    operations = record("operations")["operations"].values()
    parts = [part["compared"] for one in operations for part in one.values() if "compared" in part]
    targets = [part["met"] for part in parts if part["target"] is not None]
    assert all(targets)
    yield f"each of its {len(targets)} targets is met"
    resnet, mobilenet = (
        record(f"evaluation_{name}")["compared"]["network to logits"]
        for name in ("resnet50", "mobilenet")
    )
    images = record("evaluation_mobilenet")["images"]
    yield f"takes {resnet['ratio']:.2f} of the time of the network alone on ResNet-50"
    each = 1000 * mobilenet["times"]["median"] / images
    yield f"{mobilenet['ratio']:.2f} on MobileNetV2, which needs {each:.0f} ms an image"


def memory():
    told = dict(line.split(": ") for line in record("evaluation_memory")["told"])
    one, several, training = (
        int(told[name].split(" MiB as compiled")[0]) / 1024
        for name in ("eval step", "eval step, six scales", "train step")
    )
    yield f"takes {one:.1f} GiB, by six scales and flip {several:.1f}"
    yield f"a training step {training:.1f} (as compiled"
    whole = int(told["six scales"].split(" MiB")[0]) / 1024
    yield f"a process that also compiles them grows by {whole:.1f}"


@pytest.mark.parametrize(
    "numbers", [crf, em, clusters, drills, speed, memory], ids=lambda f: f.__name__
)
def test_numbers_are_those_of_the_records(numbers):
    for words in numbers():
        assert words in README
