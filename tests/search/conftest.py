from pathlib import Path

import pytest

from tests.gold_lake import GoldLake


@pytest.fixture
def lake(tmp_path: Path) -> GoldLake:
    return GoldLake(tmp_path / "lake")
