"""A guard taken out, and the test that must notice."""

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`guard` says what protects whom. In `file`, the text `source`, which stands there once, gives
    way to `instead`; then `test` (file::function, with or without parameters) must fail.
    """

    guard: str
    file: str
    source: str
    instead: str
    test: str

    def apply(self, root: Path) -> None:
        """Raises ValueError: the text does not stand there exactly once."""
        path = root / self.file
        text = path.read_text()
        if (count := text.count(self.source)) != 1:
            raise ValueError(f"{self.file} has {count} times: {self.source}")
        path.write_text(text.replace(self.source, self.instead))

    def fault(self, root: Path) -> str | None:
        """Why this mutant cannot be tried in the tree as it is; None where it can."""
        count = (root / self.file).read_text().count(self.source)
        if count != 1:
            return f"{self.file} has {count} times: {self.source}"
        file, _, name = self.test.partition("::")
        name = name.partition("[")[0]
        tree = ast.parse((root / file).read_text())
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        if not any(isinstance(node, functions) and node.name == name for node in ast.walk(tree)):
            return f"{file} has no {name}"
        return None
