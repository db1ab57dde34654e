"""Chromium, where there is one: what its own rules make of a page."""

import shutil
import subprocess
from pathlib import Path

__all__ = ["CHROMIUM", "dom_of"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
          "--disable-background-networking", "--disable-component-update")  # fmt: skip


def dom_of(url: str, place: Path, *options: str) -> str:
    """Show a page, and give its DOM once its scripts are at rest.

    Args:
        place: where it may keep what it likes.
    """
    assert CHROMIUM is not None
    shown = subprocess.run(
        [CHROMIUM, *_QUIET, f"--user-data-dir={place}", *options, "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr[-2000:]
    return shown.stdout
