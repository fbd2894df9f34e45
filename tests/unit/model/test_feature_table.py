"""`docs/features.md` says what the code computes.

It is made by `python -m tests.unit.model.test_feature_table > docs/features.md`.
"""

from pathlib import Path

from shared.model import features
from shared.model.features import FEATURES
from shared.model.history import WARMUP

DOCUMENT = Path(__file__).parents[3] / "docs" / "features.md"
MAKE_IT = "python -m tests.unit.model.test_feature_table > docs/features.md"


def document() -> str:
    words = (features.__doc__ or "").split("\n\n", 1)[1].replace("`WARMUP`", f"{WARMUP}")
    rows = [f"| `{each.name}` | {_cell(each.definition)} |" for each in FEATURES]
    return "\n".join(
        [
            "# Features",
            "",
            f"What a model sees of the market: {len(FEATURES)} numbers per candle. This page is"
            f" made from `shared/model/features.py` by `{MAKE_IT}`, and a test holds it to"
            " the code.",
            "",
            words.strip(),
            "",
            "| feature | definition |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _cell(definition: str) -> str:
    escaped = definition.replace("|", "\\|")
    return f"`{escaped}`"


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    assert DOCUMENT.read_text() == document(), f"run {MAKE_IT}"


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201, its purpose
