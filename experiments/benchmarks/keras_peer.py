"""keras-hub's DeepLab v3+ on its JAX backend as a contender; needs a separate environment.

    python -m venv KERAS && KERAS/bin/pip install tensorflow-cpu keras keras-hub jax

keras-hub 0.32 imports TensorFlow with any backend.
The work is not equal: its backbone has output stride 32, and it has 39.2 million parameters.
"""

import functools
import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import keras_hub
import numpy as np

from experiments.benchmarks import processes, timing, work
from jaxseg.runtime import memory


def network_of(given: work.Work) -> keras.Model:
    """DeepLab v3+ on ResNet-50, as keras-hub builds it."""
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=(given.size, given.size, 3),
    )
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=list(work.ATROUS_RATES),
        image_shape=(given.size, given.size, 3),
    )
    return keras_hub.models.DeepLabV3ImageSegmenter(
        backbone=backbone, num_classes=work.NUM_CLASSES, activation=None
    )


def main() -> None:
    """Builds Keras's own stateless training step, jitted, and serves it."""
    given = work.from_arguments()
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    model = network_of(given)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=work.IGNORE)
    sgd = keras.optimizers.SGD(
        work.LEARNING_RATE, momentum=work.MOMENTUM, weight_decay=work.WEIGHT_DECAY
    )
    model.compile(optimizer=sgd, loss=loss, jit_compile=True)
    images, labels = work.batch_of(given)
    x = jnp.asarray((images.astype(np.float32) - 127.5) / 127.5)
    y = jnp.asarray(labels)
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)

    def of_parameters(trainable, fixed, x, y):
        logits, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return loss(y, logits), fixed

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))  # as in Keras's own trainer
    def update(trainable, fixed, slots, x, y):
        of = jax.value_and_grad(of_parameters, has_aux=True)
        (value, fixed), gradient = of(trainable, fixed, x, y)
        trainable, slots = optimizer.stateless_apply(slots, gradient, trainable)
        return (trainable, fixed, slots), value

    @jax.jit
    def infer(trainable, fixed, x):
        return model.stateless_call(trainable, fixed, x, training=False)[0]

    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    state = tuple([jnp.array(v.value) for v in group] for group in variables)

    def train_once() -> jax.Array:
        nonlocal state
        state, value = jax.block_until_ready(update(*state, x, y))
        return value

    def infer_once() -> jax.Array:
        return jax.block_until_ready(infer(*state[:2], x))

    training = given.step == "train"
    processes.serve(
        train_once if training else infer_once,
        float if training else lambda logits: work.cross_entropy(np.asarray(logits), labels),
        {
            "parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
            "keras": keras.__version__,
            "keras_hub": keras_hub.__version__,
            "threads": timing.cores(),
        },
    )


if __name__ == "__main__":
    main()
