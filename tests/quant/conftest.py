import pytest


@pytest.fixture(scope="session")
def oracle():
    """The one graph with all kernels; TensorFlow is imported only where a test asks for it."""
    from kernel_oracle import KernelOracle

    graph = KernelOracle()
    yield graph
    graph.close()
