"""Windows, tiles, long sides and rotations against NumPy and OpenCV, in different frames."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.inference import windows
from tests.models.networks import QUICK

SIZES = np.array([[11, 17], [9, 6], [14, 10]], np.int32)
FRAME = (15, 18)


def framed(images, frame=FRAME):
    """Puts images of several sizes in the upper left of a frame of zeros, float32 [B, H, W, C]."""
    x = np.zeros((len(images), *frame, images[0].shape[-1]), np.float32)
    for i, image in enumerate(images):
        x[i, : image.shape[0], : image.shape[1]] = image
    return jnp.asarray(x)


def drawn(channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(*size, channels)).astype(np.float32) for size in SIZES]


def inside(x, i):
    return np.asarray(x[i])[: SIZES[i][0], : SIZES[i][1]]


def blurred(x):
    """A network with a 5 x 5 receptive field: weighted sums with zero padding."""
    padded = np.pad if isinstance(x, np.ndarray) else jnp.pad
    p = padded(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    h, w = x.shape[1:3]
    return sum(p[:, i : i + h, j : j + w] * (1 + i - 0.3 * j) for i in range(5) for j in range(5))


def slid(images, sizes, network=blurred, **how):
    run = functools.partial(windows.slide, network, **how)
    return jax.jit(run, compiler_options=QUICK)(jnp.asarray(images), jnp.asarray(sizes))


def test_sizes_of_images_scale_as_those_of_frames():
    sizes = np.array([(n, 3 * n) for n in range(1, 700, 7)])
    for scale in (0.5, 0.7, 0.75, 1.0, 1.25, 1.75, 2.0):
        expected = [windows.scaled_size(tuple(map(int, size)), scale) for size in sizes]
        np.testing.assert_array_equal(windows.scaled_sizes(jnp.asarray(sizes), scale), expected)


def test_reflection_equals_numpy():
    for length in (1, 2, 5):
        place = jnp.arange(-9, length + 9)
        expected = np.pad(np.arange(length), 9, mode="reflect" if length > 1 else "edge")
        found = windows._reflected(place, jnp.int32(length))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_windows_of_an_image_do_not_depend_on_its_frame(share):
    images = drawn()
    together = slid(framed(images), SIZES, crop=(7, 8), share=share)
    for i, image in enumerate(images[:2]):
        alone = slid(image[None], SIZES[i : i + 1], crop=(7, 8), share=share)
        np.testing.assert_allclose(inside(together, i), alone[0], atol=1e-4)


def test_tiles_with_a_margin_equal_the_whole_image():
    """With the receptive field as margin, tiles make no difference, even with mirrored borders."""
    images = drawn()
    tiles = slid(framed(images), SIZES, crop=(9, 10), share=1.0, margin=2, mirror=True)
    for i, image in enumerate(images):
        p = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        expected = blurred(p[None])[0, 2:-2, 2:-2]
        np.testing.assert_allclose(inside(tiles, i), expected, atol=1e-4)
        without = blurred(image[None])[0]
        assert np.abs(without - expected).max() > 0.1  # zero padding gives other values


def test_a_network_without_padding_gives_windows_without_their_margin():
    def valid(x):
        return blurred(x)[:, 2:-2, 2:-2]

    images = framed(drawn())
    how = {"crop": (9, 10), "share": 1.0, "margin": 2, "mirror": True}
    tiles = [slid(images, SIZES, f, **how) for f in (valid, blurred)]
    np.testing.assert_allclose(*tiles, atol=1e-5)


def test_long_sides_are_resized_as_in_opencv_and_back():
    images, sizes = drawn(), jnp.asarray(SIZES)
    new = windows.with_long_side(sizes, 12)
    assert new.tolist() == [[8, 12], [12, 8], [12, 9]]  # of 7.76, 8 and 8.57
    there = windows.resampled(framed(images), sizes, new, (12, 12))
    back = windows.resampled(there, new, sizes, FRAME)
    for i, image in enumerate(images):
        h, w = new[i].tolist()
        expected = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(there[i, :h, :w], expected, atol=1e-4)
        assert not np.asarray(there[i, h:]).any()
        assert not np.asarray(there[i, :, w:]).any()
        again = cv2.resize(expected, tuple(SIZES[i][::-1].tolist()), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(inside(back, i), again, atol=1e-4)


def test_rotations_by_90_degrees_equal_numpy():
    image = np.random.default_rng(1).normal(size=(9, 6, 2)).astype(np.float32)
    size = jnp.array([[9, 6]])
    for quarter in range(4):
        expected = np.rot90(image, quarter)
        found = windows.rotated(jnp.asarray(image[None]), size, 90 * quarter, expected.shape[:2])
        np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_a_rotation_can_be_inverted():
    """Images are smooth, since both rotations interpolate; the frame does not matter."""
    y, x = np.mgrid[:15, :18]
    images = [
        np.stack([np.sin(x / 6 + i), np.cos(y / 5)], -1)[: s[0], : s[1]].astype(np.float32)
        for i, s in enumerate(SIZES)
    ]
    sizes = jnp.asarray(SIZES)
    there = jax.jit(lambda x, degrees: windows.rotated(x, sizes, degrees, (24, 24)))
    again = jax.jit(lambda x, degrees: windows.rotated_back(x, sizes, degrees, FRAME))
    for degrees in (360 / 7, 200.0):
        turned = there(framed(images), degrees)
        back = again(turned, degrees)
        for i, image in enumerate(images):
            difference = np.abs(inside(back, i) - image)
            assert difference.max() < 0.1  # at mirrored borders, which are not smooth
            moved = np.abs(np.asarray(turned[i, : len(image), : image.shape[1]]) - image)
            assert moved.max() > 0.5
