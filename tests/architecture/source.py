"""The project's source, parsed once."""

import ast
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {"audit": 0, "registry": 1, "sync": 2, "bugversions": 2, "config": 3}


@lru_cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours by dotted name, migrations left out."""
    found = {}
    for app in FLOORS:
        for path in sorted((ROOT / app).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts:
                name = ".".join(parts).removesuffix(".__init__")
                found[name] = ast.parse(path.read_text(), filename=str(path))
    return found


def path_of(module: str) -> Path:
    base = ROOT / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def imports(tree: ast.Module) -> set[str]:
    """Dotted names that a module imports: `from a import b` counts as both `a` and `a.b`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names
