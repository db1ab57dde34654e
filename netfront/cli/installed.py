"""The completion scripts as they were installed: printing one takes no command tree and no typer."""

import sys
from pathlib import Path

from netfront import __version__

__all__ = ["installed_completion"]

_PLACES = {
    "bash": "share/bash-completion/completions/netfront",
    "zsh": "share/zsh/site-functions/_netfront",
    "fish": "share/fish/vendor_completions.d/netfront.fish",
}


def installed_completion(shell: str) -> str | None:
    """Give the script that came with this version of netfront; None if there is none, or no such shell."""
    if shell not in _PLACES:
        return None
    beside = Path(__file__).resolve().parents[2] / "completions" / f"netfront.{shell}"
    for path in (beside, Path(sys.prefix) / _PLACES[shell]):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if f"netfront {__version__}" in text.split("\n\n", 1)[0]:
            return text
    return None
