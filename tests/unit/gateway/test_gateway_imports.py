import subprocess
import sys

HEAVY = ("numpy", "pandas", "scipy", "sklearn", "xgboost", "lightgbm", "catboost", "plotly")


def test_the_gateway_imports_no_learning_library_and_no_numbers_library() -> None:
    code = "import services.gateway.__main__, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "services.gateway.hub" in loaded
    assert [name for name in HEAVY if name in loaded] == []
