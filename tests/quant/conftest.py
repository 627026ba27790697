import pytest


@pytest.fixture(scope="session")
def oracle():
    """Return the shared graph with all kernels; TensorFlow is imported only if a test uses it."""
    from kernel_oracle import KernelOracle

    graph = KernelOracle()
    yield graph
    graph.close()
