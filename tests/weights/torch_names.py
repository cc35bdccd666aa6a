"""Random tensors under torchvision's names."""

import numpy as np


def resnet18_tensors(width=64, seed=0):
    """Of a `resnet18` whose first stage has `width` features."""
    rng = np.random.default_rng(seed)
    tensors = {}

    def conv(name, outputs, inputs, size):
        scale = np.sqrt(2 / (inputs * size * size))
        kernel = scale * rng.normal(size=(outputs, inputs, size, size))
        tensors[f"{name}.weight"] = kernel.astype(np.float32)

    def norm(name, features):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{tensor}"] = rng.uniform(0.5, 1.5, features).astype(np.float32)
        tensors[f"{name}.num_batches_tracked"] = np.array(3)

    conv("conv1", width, 3, 7)
    norm("bn1", width)
    inputs = width
    for stage in range(4):
        features = width * 2**stage
        for unit in range(2):
            name = f"layer{stage + 1}.{unit}"
            conv(f"{name}.conv1", features, inputs, 3)
            norm(f"{name}.bn1", features)
            conv(f"{name}.conv2", features, features, 3)
            norm(f"{name}.bn2", features)
            if inputs != features:
                conv(f"{name}.downsample.0", features, inputs, 1)
                norm(f"{name}.downsample.1", features)
            inputs = features
    tensors["fc.weight"] = rng.normal(size=(10, inputs)).astype(np.float32)
    tensors["fc.bias"] = np.zeros(10, np.float32)
    return tensors
