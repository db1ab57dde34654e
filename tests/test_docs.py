"""Generated files are up to date, and every command and flag is in help, man and completions."""

import shutil
import subprocess
import sys

import pytest

from netfront.cli.app import root
from netfront.cli.flags import ServeFlags
from netfront.cli.generated import generated_files
from netfront.cli.help import full_help, root_help
from netfront.cli.pages import PAGES
from netfront.cli.tree import read_tree
from tests.support.netfront import ROOT, run

TREE = read_tree(root())
NODES = list(TREE.walk())
FLAGS = [(node, flag) for node in NODES for flag in node.flags]
SHELLS = ["bash", "zsh", "fish"]


@pytest.mark.parametrize("name", sorted(generated_files()))
def test_generated_file_is_up_to_date(name):
    assert (ROOT / name).read_text() == generated_files()[name], "run python -m netfront.cli.generated"


def test_nothing_but_generated_files_lies_beside_them():
    there = {
        f"{path.parent.name}/{path.name}"
        for folder in ("completions", "man")
        for path in (ROOT / folder).iterdir()
    }
    assert there == set(generated_files())


def test_every_command_has_a_page_and_every_page_a_command():
    assert {node.name for node in NODES} == set(PAGES)


def test_help_of_netfront_without_its_commands_is_that_with_them():
    assert root_help(is_full=True) == full_help(TREE)


@pytest.mark.parametrize(("node", "flag"), FLAGS, ids=[flag.name for _, flag in FLAGS])
def test_flag_is_told_everywhere(node, flag):
    files = generated_files()
    page = files[f"man/{node.name.replace(' ', '-')}.1"].replace("\\-", "-")
    help_text = full_help(node)
    for spelling in flag.spellings:
        assert f"\\fB{spelling}\\fR" in page
        assert (
            spelling in help_text
            or f"--[no-]{spelling.removeprefix('--no-').removeprefix('--')}" in help_text
        )
        assert spelling in files["completions/netfront.bash"]
        assert spelling in files["completions/netfront.zsh"]
        long = f" -l {spelling[2:]}" if spelling.startswith("--") else f" -s {spelling[1:]}"
        assert long in files["completions/netfront.fish"]
    assert flag.text
    assert flag.group


@pytest.mark.parametrize("node", NODES, ids=[node.name for node in NODES])
def test_command_is_told_everywhere(node):
    everywhere = [*generated_files().values(), full_help(TREE)]
    assert sum(node.word in text for text in everywhere) >= 4


def test_flags_fill_the_parameters_of_their_name():
    names = {
        command: {parameter.name for parameter in root().commands[command].params}
        for command in ("proxy", "balance", "gateway")
    }
    assert names["gateway"] == set(ServeFlags.__dataclass_fields__) - {"files"}
    assert names["proxy"] == names["balance"] < names["gateway"]


def test_common_flags_of_help_exist():
    for node in NODES:
        assert set(PAGES[node.name].common) <= {flag.name for flag in node.flags}


@pytest.mark.parametrize(
    "line",
    [
        line
        for page in PAGES.values()
        for line, _ in page.examples
        if line.startswith(("netfront proxy", "netfront balance"))
    ],
)
def test_example_of_help_is_right(line, tmp_path):
    for name in ("site.pem", "site.key"):
        (tmp_path / name).touch()
    (tmp_path / "pool.nf").write_text("3001\n3002\n")
    command = f"{line.removesuffix(' &').removeprefix('netfront')} --explain"
    done = subprocess.run(
        ["bash", "-c", f"PYTHONPATH={ROOT} {sys.executable} -m netfront {command}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("name", [name for name in sorted(generated_files()) if name.startswith("man/")])
def test_man_page_passes_mandoc(name):
    done = subprocess.run(["mandoc", "-Tlint", str(ROOT / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_the_script(shell):
    done = run("completion", shell)
    assert (done.returncode, done.stdout) == (0, (ROOT / f"completions/netfront.{shell}").read_text())


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_script_is_read_by_its_shell(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-n", str(ROOT / f"completions/netfront.{shell}")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


CASES = [
    (["netfront", "pro"], ["proxy"]),
    (["netfront", ""], ["balance", "proxy", "gateway", "trust", "completion"]),
    (["netfront", "bal"], ["balance"]),
    (["netfront", "balance", "--hedg"], ["--hedge"]),
    (["netfront", "trust", ""], ["path", "env"]),
    (["netfront", "completion", ""], ["bash", "zsh", "fish"]),
    (["netfront", "proxy", "--lis"], ["--listen"]),
    (["netfront", "proxy", "3000", "--no-v"], ["--no-via"]),
    (["netfront", "proxy", "--log-format", "l"], ["logfmt"]),
    (["netfront", "proxy", "--cert", "LIC"], ["LICENSE"]),
    (["netfront", "proxy", "--timeout", ""], []),
]


@pytest.mark.parametrize(("words", "offered"), CASES)
def test_bash_completes(words, offered):
    script = f"""
        source completions/netfront.bash
        compopt() {{ :; }}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        _netfront
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert [
        word for word in done.stdout.split() if offered == [] or not word.startswith("-") or word in offered
    ] == offered


def test_bash_completes_behind_an_equals_sign():
    test_bash_completes(["netfront", "proxy", "--log-format", "=", "co"], ["common", "combined"])


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("words", "offered"), CASES)
def test_fish_completes(words, offered):
    line = " ".join(words)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source completions/netfront.fish; complete -C '{line}'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [row.split("\t")[0] for row in done.stdout.splitlines()]
    assert sorted(word for word in found if not word.startswith("-") or word in offered) == sorted(offered)
