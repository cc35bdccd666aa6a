"""Caffe networks in the tests' own words: a deploy prototxt and random blobs, layer by layer."""

import numpy as np


class CaffeNet:
    """Grows one layer a call; each call returns the name of its top.

    `text` is the deploy prototxt for an input of `size`, `layers` the blobs by layer.
    """

    def __init__(self, size, seed=0):
        self.rng = np.random.default_rng(seed)
        self.layers = {}
        self.channels = {"data": 3}
        self.text = (
            'layer { name: "data" type: "Input" top: "data" input_param { shape { '
            f"dim: 1 dim: 3 dim: {size[0]} dim: {size[1]} }} }} }}\n"
        )

    def _layer(self, name, kind, bottoms, parameters="", *, channels=None, blobs=(), top=None):
        bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        top = top or name
        lines = "".join(f' bottom: "{bottom}"' for bottom in bottoms)
        self.text += f'layer {{ name: "{name}" type: "{kind}"{lines} top: "{top}" {parameters} }}\n'
        self.channels[top] = channels or self.channels[bottoms[0]]
        if blobs:
            self.layers[name] = [np.asarray(blob, np.float32) for blob in blobs]
        return top

    def random(self, *shape, spread=1.0):
        """Normal values."""
        return (spread * self.rng.normal(size=shape)).astype(np.float32)

    def vectors(self, count, length, axes=1):
        """Random vectors; with 4 axes as older files have them, (1, C, 1, 1)."""
        shape = (length,) if axes == 1 else (1, length, 1, 1)
        return [self.random(*shape) for _ in range(count)]

    def relu(self, bottom):
        return self._layer(f"relu_{bottom}", "ReLU", bottom, top=bottom)

    def conv(
        self, bottom, name, out, k, *, stride=1, pad=0, dilation=1, group=1, bias=True, relu=True
    ):
        inputs = self.channels[bottom] // group
        kernel = self.random(out, inputs, k, k, spread=np.sqrt(2 / (inputs * k * k)))
        parameters = (
            f"convolution_param {{ num_output: {out} kernel_size: {k} stride: {stride} pad: {pad} "
            f"dilation: {dilation} group: {group} bias_term: {str(bias).lower()} }}"
        )
        blobs = [kernel] + [self.random(out, spread=0.3)] * bias
        self._layer(name, "Convolution", bottom, parameters, channels=out, blobs=blobs)
        return self.relu(name) if relu else name

    def deconv(self, bottom, name, kernel, *, stride, pad=0, bias=None, group=1):
        """With the given kernel [in, out / group, k, k]."""
        out, k = kernel.shape[1] * group, kernel.shape[2]
        parameters = (
            f"convolution_param {{ num_output: {out} kernel_size: {k} stride: {stride} "
            f"pad: {pad} group: {group} bias_term: {str(bias is not None).lower()} }}"
        )
        blobs = [kernel] if bias is None else [kernel, bias]
        return self._layer(name, "Deconvolution", bottom, parameters, channels=out, blobs=blobs)

    def pool(self, bottom, name, k, stride, pad=0, how="MAX"):
        parameters = f"pooling_param {{ pool: {how} kernel_size: {k} stride: {stride} pad: {pad} }}"
        return self._layer(name, "Pooling", bottom, parameters)

    def batch_norm(self, bottom, name, scale_name, *, factor=2.0):
        """BatchNorm with sums over `factor` passes, then Scale; in place."""
        c = self.channels[bottom]
        mean, var = self.random(c, spread=0.3), self.rng.uniform(0.5, 1.5, c)
        blobs = [mean * factor, var * factor, [factor]]
        parameters = "batch_norm_param { use_global_stats: true }"
        self._layer(name, "BatchNorm", bottom, parameters, blobs=blobs, top=bottom)
        blobs = [self.rng.uniform(0.5, 1.5, c), self.random(c, spread=0.3)]
        parameters = "scale_param { bias_term: true }"
        return self._layer(scale_name, "Scale", bottom, parameters, blobs=blobs, top=bottom)

    def scale(self, bottom, name, value):
        """One factor for each channel, as Caffe keeps it for axis 1."""
        return self._layer(name, "Scale", bottom, blobs=[np.full(self.channels[bottom], value)])

    def lrn(self, bottom, name):
        return self._layer(
            name, "LRN", bottom, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
        )

    def crop(self, bottom, reference, name, offset):
        parameters = f"crop_param {{ axis: 2 offset: {offset} }}"
        return self._layer(name, "Crop", [bottom, reference], parameters)

    def add(self, bottoms, name):
        return self._layer(name, "Eltwise", bottoms, "eltwise_param { operation: SUM }")

    def maximum(self, bottoms, name):
        return self._layer(name, "Eltwise", bottoms, "eltwise_param { operation: MAX }")

    def concat(self, bottoms, name):
        channels = sum(self.channels[bottom] for bottom in bottoms)
        return self._layer(name, "Concat", bottoms, channels=channels)

    def interp(self, bottom, name, size):
        parameters = f"interp_param {{ height: {size[0]} width: {size[1]} }}"
        return self._layer(name, "Interp", bottom, parameters)

    @property
    def blobs(self):
        """As the reader gives them: "conv1_1/0"."""
        return {
            f"{layer}/{index}": blob
            for layer, blobs in self.layers.items()
            for index, blob in enumerate(blobs)
        }
