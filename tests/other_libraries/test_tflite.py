"""The judge of the imported network: ai-edge-litert's interpreter on the file itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.deeplab_v3 import google_voc
from jaxseg.pixels import normalise
from jaxseg.weights import load

pytestmark = pytest.mark.other_libraries

FILE = "deeplabv3_257_mv_gpu.tflite"
IMAGES = 24


@pytest.fixture(scope="module")
def interpreter(shared):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(shared / "weights" / FILE))
    interpreter.allocate_tensors()
    return interpreter


def _images(shared):
    """VOC val at 257 x 257, spread over the list, uint8 [N, 257, 257, 3]."""
    voc = shared / "data" / "VOCdevkit" / "VOC2012"
    names = (voc / "ImageSets" / "Segmentation" / "val.txt").read_text().split()
    images = [
        np.asarray(Image.open(voc / "JPEGImages" / f"{name}.jpg").convert("RGB").resize((257, 257)))
        for name in names[:: len(names) // IMAGES][:IMAGES]
    ]
    return np.stack(images)


def test_logits_and_classes_are_the_interpreters(shared, interpreter):
    experiment = google_voc.get_config()
    model = experiment.model
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 65, 65, 3)), train=False)
    )
    variables = load.load_variables(shared / "weights" / FILE, shapes)

    @jax.jit
    def logits_of(variables, images):
        x = normalise(images, experiment.data.normalisation)
        return model.apply(variables, x, train=False)["logits"]

    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    images = _images(shared)
    assert len(images) == IMAGES
    equal, difference, classes = [], [], set()
    for image in images:
        x = image[None].astype(np.float32) / 127.5 - 1
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        expected = interpreter.get_tensor(wanted["index"])
        ours = np.asarray(logits_of(variables, image[None]))
        equal.append(np.mean(ours.argmax(-1) == expected.argmax(-1)))
        difference.append(np.abs(ours - expected).max())
        classes |= set(np.unique(expected.argmax(-1)))
    print(f"argmax equal on {np.mean(equal):.6f}, largest logit difference {max(difference):.2e}")
    assert len(classes) >= 10  # the judge sees objects, not background alone
    assert np.mean(equal) >= 0.999
    assert min(equal) >= 0.999
    assert max(difference) < 1e-3
