"""The boundary suite equals the metrics, independently of batches, padding and fillers."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxseg import config, metrics
from jaxseg.evaluation import boundary_suite
from jaxseg.metrics import boundary, hausdorff
from jaxseg.types import IGNORE
from tests.conftest import ROOT
from tests.evaluation.test_evaluate import Pictures, run
from tests.metrics.test_boundary import QUICK, K, blobs, compiled

NAMES = ("sky", "road", "car", "unicorn")  # the last is in no map
FRAME = (28, 34)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Reduces optimisation, since compilation takes far longer than counting these maps."""
    patch = pytest.MonkeyPatch()
    count = boundary_suite._count.__wrapped__
    names = ("num_classes", "distances", "mesh")
    patch.setattr(
        boundary_suite,
        "_count",
        boundary_suite.jax.jit(count, static_argnames=names, compiler_options=QUICK),
    )
    yield
    patch.undo()


def images(void=0.06):
    """Returns five pairs of label and prediction of several sizes."""
    shapes = [(20, 26), (28, 30), (17, 34), (28, 34), (9, 11)]
    pairs = [blobs(i, (1, *shape), void) for i, shape in enumerate(shapes)]
    return [(labels[0], predictions[0]) for labels, predictions in pairs]


def batches(pairs, size, frame=FRAME, order=None):
    """Yields (labels, predictions, index, sizes), padded with empty images."""
    order = list(range(len(pairs)) if order is None else order)
    for first in range(0, len(order), size):
        labels = np.full((size, *frame), IGNORE, np.uint8)
        predictions = np.ones((size, *frame), np.int32)
        index, sizes = np.full(size, -1, np.int32), np.zeros((size, 2), np.int32)
        for b, i in enumerate(order[first : first + size]):
            height, width = pairs[i][0].shape
            labels[b, :height, :width], predictions[b, :height, :width] = pairs[i]
            index[b], sizes[b] = i, (height, width)
        yield labels, predictions, index, sizes


def suite_of(pairs, size, *, hausdorff=True, **options):
    suite = boundary_suite.Suite(K, distances=hausdorff)
    for batch in batches(pairs, size, **options):
        suite.add(*batch)
    return suite.to_json(NAMES)


def test_results_equal_the_metrics():
    pairs = images()
    found = suite_of(pairs, 2)
    labels, predictions, _, sizes = next(batches(pairs, 5))

    def counted(metric, **options):
        return np.asarray(compiled(metric, **options)(labels, predictions, sizes=sizes))

    widths = boundary_suite.WIDTHS
    for around in ("void", "classes"):
        bands = counted(boundary.trimap_confusions, widths=widths, around=around)
        curve = metrics.mean_iou(*metrics.class_counts(bands))
        np.testing.assert_allclose(found["trimap"][around]["miou"], curve, rtol=1e-12)
        assert found["trimap"][around]["pixels"] == np.sum(bands, axis=(1, 2)).tolist()
    counts = counted(boundary.boundary_iou_counts)
    ious = [found["boundary_iou"]["classes"][name] for name in NAMES[:3]]
    np.testing.assert_allclose(ious, metrics.class_iou(*counts)[:3])
    np.testing.assert_allclose(found["boundary_iou"]["mean"], np.mean(ious))
    assert found["boundary_iou"]["classes"]["unicorn"] is None
    counts = counted(boundary.boundary_f_counts)  # SegNet's
    place = found["boundary_f"]["tolerances"].index(0.0075)
    mean = boundary.mean_f_score(counts[:, 0])
    np.testing.assert_allclose(found["boundary_f"]["mean"][place], mean)
    scores = np.nanmean(boundary.f_scores(counts[:, 0])[:, :3], axis=0)
    classes = [found["boundary_f"]["classes"][name][place] for name in NAMES[:3]]
    np.testing.assert_allclose(classes, scores)
    values = counted(hausdorff.hausdorff)
    for k, name in enumerate(NAMES):
        finite = values[np.isfinite(values[:, k]), k]
        assert found["hausdorff_95"]["images"][name] == len(finite)
        assert found["hausdorff_95"]["one_sided"][name] == np.isinf(values[:, k]).sum()
        if len(finite):
            np.testing.assert_allclose(
                found["hausdorff_95"]["classes"][name], finite.mean(), rtol=1e-6
            )


def test_batches_order_frame_and_fillers_change_nothing():
    pairs = images()
    one = suite_of(pairs, 2)
    assert json.loads(json.dumps(one, allow_nan=False)) == one
    assert one["images"] == 5
    for options in ({"size": 3, "frame": (31, 40)}, {"size": 2, "order": [4, 1, 3, 0, 2]}):
        assert suite_of(pairs, **options) == one


def test_the_trimap_is_around_void_if_void_outlines_every_object():
    label = np.zeros((24, 30), np.uint8)
    label[6:18, 8:22] = 1
    outlined = label.copy()
    outlined[5:19, 7:23] = IGNORE
    outlined[7:17, 9:21] = 1
    guess = np.roll(label, 1, axis=1).astype(np.int32)
    found = [suite_of([(truth, guess)], 2, hausdorff=False) for truth in (label, outlined)]
    assert [f["trimap"]["around"] for f in found] == ["classes", "void"]
    assert found[1]["trimap"]["classes"]["pixels"] == [0] * len(boundary_suite.WIDTHS)
    assert found[1]["trimap"]["classes"]["miou"][0] is None
    assert "hausdorff_95" not in found[0]


@pytest.mark.filterwarnings("error")
def test_a_suite_without_images_has_no_results():
    found = boundary_suite.Suite(K).to_json(NAMES)
    assert found["images"] == 0
    assert found["boundary_iou"]["mean"] is None
    assert found["boundary_f"]["mean"] == [None] * len(boundary_suite.TOLERANCES)


TWO_DEVICES = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
WORKER = """
import json, sys
from jaxseg.runtime import processes
process, port = map(int, sys.argv[1:])
processes.initialize(f"127.0.0.1:{port}", 2, process)
from jaxseg import config
from tests.evaluation.test_evaluate import Pictures, run
protocol = config.Eval(batch_size=3, size=(12, 14), boundary=True)  # 3 becomes 4
from jaxseg.runtime.mesh import make_mesh
result = run(Pictures(), protocol, mesh=make_mesh(rows=2))
print(json.dumps(result.boundary))
"""


@pytest.mark.slow
def test_evaluation_by_two_processes_gives_the_same():
    """Images are sharded over processes, and their rows over the two devices of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    flags = {**os.environ, "XLA_FLAGS": TWO_DEVICES}
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(i), port],
            cwd=ROOT,
            env=flags,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for i in range(2)
    ]
    done = [worker.communicate(timeout=300) for worker in workers]
    protocol = config.Eval(batch_size=7, size=(12, 14), boundary=True)
    here = run(Pictures(), protocol).boundary
    assert here["images"] == 7
    for out, error in done:
        assert out.strip(), error
        assert json.loads(out.splitlines()[-1]) == here
