import pytest
from harness.crashes import Material, make_material


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Three small logs, made once by the service itself."""
    return make_material(tmp_path_factory.mktemp("material"))
