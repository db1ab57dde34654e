"""The files that are made from the command tree and checked in: completions and man pages.

`python -m netfront.cli.generated` writes them; a test fails while they differ from what would be written.
"""

from pathlib import Path

from netfront.cli.app import root
from netfront.cli.completion import SHELLS, render_completion
from netfront.cli.manual import render_manuals
from netfront.cli.tree import read_tree

__all__ = ["generated_files"]


def generated_files() -> dict[str, str]:
    """Give the text of each file by its path from the top of the source tree."""
    tree = read_tree(root())
    return {
        **{f"completions/netfront.{shell}": render_completion(shell, tree) for shell in SHELLS},
        **{f"man/{name}": text for name, text in render_manuals(tree).items()},
    }


def _write_all() -> None:
    top = Path(__file__).resolve().parents[2]
    for name, text in generated_files().items():
        (top / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write_all()
