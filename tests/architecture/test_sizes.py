"""A size budget that only ever goes down."""

import ast

from tests.architecture.source import imports, modules, path_of

LONGEST_FILE = 350
LONGEST_FUNCTION = 50
USUAL_FUNCTION, USUAL_SHARE = 30, 0.99


def functions() -> list[tuple[int, str]]:
    return sorted(
        (node.end_lineno - node.lineno + 1, f"{module}.{node.name}")
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_files_are_short():
    long = {name: lines for name in modules() if (lines := path_of(name).read_text().count("\n")) > LONGEST_FILE}
    assert not long


def test_functions_are_short():
    sizes = functions()
    assert sizes[-1][0] <= LONGEST_FUNCTION, sizes[-1]
    usual = [size for size, _ in sizes if size <= USUAL_FUNCTION]
    assert len(usual) >= USUAL_SHARE * len(sizes), [item for item in sizes if item[0] > USUAL_FUNCTION]


def test_settings_are_read_in_config_alone():
    readers = {name for name in modules() if any(one.startswith("config.env") for one in imports(modules()[name]))}
    assert readers
    assert all(name.startswith("config.") for name in readers)
