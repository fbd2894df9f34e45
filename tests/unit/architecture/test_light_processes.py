"""What the long-lived processes may not load: the memory of a library is paid by each of them."""

import subprocess
import sys

import pytest

LEARNING = {"xgboost", "lightgbm", "catboost", "sklearn"}
FRAMES = {"pandas", "pyarrow", "fastparquet", "matplotlib", "plotly"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("services.scheduler.__main__", LEARNING | FRAMES | {"numpy", "fastapi", "pydantic"}),
        ("services.gateway.__main__", LEARNING | FRAMES | {"numpy"}),
        ("services.trainer.__main__", LEARNING | FRAMES | {"numpy", "fastapi", "pydantic"}),
        ("services.predictor.__main__", LEARNING | FRAMES | {"fastapi", "pydantic"}),
        ("evertrain.up", LEARNING | FRAMES | {"numpy", "fastapi", "pydantic", "nats", "msgspec"}),
        ("evertrain.__main__", LEARNING | FRAMES | {"numpy", "fastapi", "pydantic"}),
    ],
)
def test_a_light_process_imports_no_heavy_library(module: str, forbidden: set[str]) -> None:
    look = f"import sys, {module}; print(*sorted(sys.modules))"
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert forbidden & set(seen.stdout.split()) == set()
