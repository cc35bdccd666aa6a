"""The torch libraries, for tests that take them as judges; without them those skip."""

import pytest


def _tolerate_missing_operators():
    """torchvision's wheel beside a CPU build of torch: `nms` and its like do not load."""
    torch = pytest.importorskip("torch")
    register_fake = torch.library.register_fake

    def tolerant(name, *args, **options):
        def decorate(function):
            try:
                return register_fake(name, *args, **options)(function)
            except RuntimeError:
                return function

        return decorate

    torch.library.register_fake = tolerant


@pytest.fixture(scope="session")
def torchvision():
    _tolerate_missing_operators()
    return pytest.importorskip("torchvision")


@pytest.fixture(scope="session")
def smp(torchvision):
    return pytest.importorskip("segmentation_models_pytorch")
