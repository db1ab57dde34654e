"""Who may import whom: the layers, walked in the source."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent / "netfront"
BASE = {"errors", "units", "endpoint"}
MAY_IMPORT = {
    "errors": set(),
    "units": {"errors"},
    "endpoint": {"errors"},
    "wire": BASE | {"wire"},
    "policy": BASE | {"wire", "policy"},
    "net": BASE | {"wire", "policy", "net"},
    "http": BASE | {"wire", "policy", "net", "http"},
    "filters": BASE | {"wire", "policy", "net", "http", "filters"},
    "demo": BASE | {"wire", "policy", "net", "http", "demo"},
    "cli": BASE | {"wire", "policy", "net", "http", "filters", "demo", "cli"},
    "__init__": set(),
    "__main__": {"cli", "__init__"},
}
PURE = {"trio", "socket", "ssl", "time", "random", "os", "logging", "select", "threading"}
FORBIDDEN = {
    "errors": PURE,
    "units": PURE,
    "endpoint": PURE,
    "wire": PURE,
    "policy": PURE,
    "net": {"typer", "rich", "click"},
    "http": {"typer", "rich", "click", "trio", "socket", "ssl", "select"},
    "filters": {"typer", "rich", "click", "trio", "socket", "ssl", "select", "os"},
    "demo": {"typer", "rich", "click", "trio", "socket", "ssl", "select"},
    "cli": {"click"},
    "__init__": PURE,
    "__main__": PURE - {"os"},
}
FILTERS_SHARE = {"composed", "meaning", "pages", "quota", "served"}
"""Modules in filters/ that are no filters but what others there render with, or look into."""
FILTERS_FROM = {
    "netfront.net": {"backend", "lane", "passage", "stream"},
    "netfront.http": {"message"},
}
FILES = sorted(TOP.rglob("*.py"))


def part_of(file: Path) -> str:
    first = file.relative_to(TOP).parts[0]
    return first.removesuffix(".py")


def imports_of(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names.append(node.module or "")
            if node.module == "netfront":
                names += [f"netfront.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TOP)))
def test_a_file_imports_only_what_its_layer_may(file):
    part = part_of(file)
    for name in imports_of(file):
        if name == "netfront" or name == "netfront.__version__":
            continue
        if name.startswith("netfront."):
            assert name.split(".")[1] in MAY_IMPORT[part], f"{name} in {part}"
        else:
            assert name.split(".")[0] not in FORBIDDEN[part], f"{name} in {part}"


@pytest.mark.parametrize("file", sorted((TOP / "filters").glob("*.py")), ids=lambda file: file.name)
def test_filters_know_neither_each_other_nor_connections(file):
    for name in imports_of(file):
        head, _, last = name.rpartition(".")
        if head == "netfront.filters":
            assert last in FILTERS_SHARE, name
        elif head in FILTERS_FROM:
            assert last in FILTERS_FROM[head], name


@pytest.mark.parametrize(
    "file", [file for file in FILES if part_of(file) in ("http", "filters")], ids=lambda file: file.name
)
def test_connection_code_names_no_trio_primitive(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "trio", f"{file}:{node.lineno}"


def test_nothing_imports_a_private_name_of_another_package():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("netfront."):
                for alias in node.names:
                    assert not alias.name.startswith("_") or alias.name == "__version__", (
                        f"{file}: {alias.name}"
                    )
