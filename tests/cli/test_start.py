"""What a start imports: only what is asked for."""

import subprocess
import sys

from tests.support.netfront import ROOT


def test_serving_without_a_table_imports_no_rich():
    script = (
        "import sys, netfront.cli.supervise; print([one for one in sys.modules if one.startswith('rich')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
