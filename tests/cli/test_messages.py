"""What a person sees who mistypes: the message, the exit code, and that nothing was opened or imported for it."""

import os
import re
import resource
import socket
import subprocess
import sys
import time

import pytest

from netfront import __version__
from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.netfront import ROOT, command, run

HEAVY = ("trio", "rich", "ssl", "cryptography", "trustme", "pydantic", "asyncio")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["prox"], "netfront: prox: no such command\n  did you mean proxy?\n"),
        (["zzz"], "netfront: zzz: no such command\n  there are balance, proxy, gateway, trust, completion\n"),
        (["help"], "netfront: help: no such command\n  did you mean --help?\n"),
        (["version"], "netfront: version: no such command\n  did you mean --version?\n"),
        ([""], "netfront: '': no such command\n  there are balance, proxy, gateway, trust, completion\n"),
        (
            ["proxy", ""],
            "netfront proxy: '': no target\n  name a port, host:port, a URL, unix:FILE or demo:\n",
        ),
        (
            ["proxy", "3000", "--name", ""],
            "netfront proxy: --name '': not a host name\n"
            "  a name as clients write it, without scheme and port\n",
        ),
        (
            ["proxy", "http//localhost:3000"],
            "netfront proxy: http//localhost:3000: a target with a path needs a scheme\n"
            "  did you mean http://localhost:3000?\n",
        ),
        (
            ["proxy", "3000", "--port", "80"],
            "netfront proxy: --port: no such flag\n  did you mean --listen?\n",
        ),
        (
            ["proxy", "GET", "/x=3000"],
            "netfront proxy: GET: a method without a path\n"
            "  a route or request with a method is one word, in quotes: 'GET /api=:8000', 'GET /x'\n",
        ),
        (
            ["proxy", "3000", "-H", "Foo bar", "-H", "X: y\nz"],
            "netfront proxy: --header Foo bar: not a field\n"
            "  write 'Name: value' to set one, '-Name' to remove one\n"
            "netfront proxy: --header X: …: a field's value has no control characters\n",
        ),
        (
            ["proxy", "3000", "--limit", "5/s:ip", "--basic=@x"],
            "netfront proxy: --limit: no such flag here\n  netfront gateway has it\n"
            "netfront proxy: --basic: no such flag here\n  netfront gateway has it\n",
        ),
        (["proxy", "3000", "-t", "5s"], "netfront proxy: -t: no such flag\n  --help lists all flags\n"),
        (["--verison"], "netfront: --verison: no such flag\n  did you mean --version?\n"),
        (["-l", ":80"], "netfront: -l: no such flag\n  flags follow the command\n"),
        (["trust", "pth"], "netfront trust: pth: no such command\n  did you mean path?\n"),
        (["trust", "path", "--x"], "netfront trust path: --x: no such flag\n  --help lists all flags\n"),
        (["trust", "path", "x"], "netfront trust path: x: one argument too many\n"),
        (["completion", "zshh"], "netfront completion: zshh: no completion for it\n  did you mean zsh?\n"),
        (["completion"], "netfront completion: no shell\n  there are bash, zsh and fish\n"),
        (
            ["proxy"],
            "netfront proxy: no target\n  name what to put it in front of, as in: netfront proxy 3000\n",
        ),
        (
            ["proxy", "3000", "--prt-file", "/tmp/x"],
            "netfront proxy: --prt-file: no such flag\n  did you mean --port-file?\n",
        ),
        (
            ["proxy", "3000", "--", "npm", "run", "dev"],
            "netfront proxy: -- npm run dev: netfront proxy runs no other command\n",
        ),
        (
            ["proxy", "3000", "--cert", "/nowhere/c.pem", "--key", "/nowhere/k.pem"],
            "netfront proxy: --cert /nowhere/c.pem: no such file or directory\n"
            "netfront proxy: --key /nowhere/k.pem: no such file or directory\n",
        ),
        (
            ["proxy", "3000", "--ready-fd", "77"],
            "netfront proxy: --ready-fd 77: no such open descriptor\n  open it in the shell, as in: 77>file\n",
        ),
        (
            ["proxy", "a\x1b[31mb"],
            "netfront proxy: a\\x1b[31mb: not an address\n",
        ),
    ],
)
def test_mistake_is_told_in_one_form_and_ends_with_2(args, message):
    done = run(*args)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_all_mistakes_of_a_line_are_told_at_once():
    args = ["proxy", "99999", "/api", "--listn", ":80", "-l", "x", "--timeout", "5", "--max-line", "0"]
    done = run(*args, "--cert", "/nowhere", "--json", "--access-log", "-")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("  ")] == [
        "netfront proxy: --listn: no such flag",
        "netfront proxy: --cert /nowhere: no such file or directory",
        "netfront proxy: 99999: no such port as 99999",
        "netfront proxy: /api: a path without targets",
        "netfront proxy: --listen x: x is not an address of this machine",
        "netfront proxy: --timeout 5: a duration needs a unit: ms, s, m, h or d",
        "netfront proxy: --max-line 0: too small",
        "netfront proxy: --access-log -: stdout carries the events of --json",
    ]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nowhere/log", "no such file or directory"),
        ("/", "is a directory"),
        ("", "no such file or directory"),
    ],
)
@pytest.mark.parametrize("flag", ["--access-log", "--port-file"])
def test_file_that_cannot_be_written_is_told_with_the_rest(flag, path, why):
    done = run("proxy", "3000", "--timeout", "5", flag, path)
    assert done.returncode == 2
    shown = path or "''"
    assert f"netfront proxy: {flag} {shown}: {why}\n" in done.stderr
    assert "--timeout 5:" in done.stderr


def test_looking_at_a_file_to_write_does_not_make_it(tmp_path):
    run("proxy", "3000", "--timeout", "5", "--access-log", str(tmp_path / "log"))
    assert list(tmp_path.iterdir()) == []


def test_wrong_files_are_told_at_once(tmp_path):
    for name in ("a.pem", "a.key", "ca.pem", "own.pem"):
        (tmp_path / name).write_text("nothing\n")
    files = [str(tmp_path / name) for name in ("a.pem", "a.key")]
    own = str(tmp_path / "own.pem")
    done = run(
        "proxy", "https://localhost:1", "--cert", files[0], "--key", files[1],
        "--backend-cert", own, "--backend-key", own,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"netfront proxy: {files[0]}: " in done.stderr
    assert f"netfront proxy: {own}: " in done.stderr


def test_what_is_wrong_inside_files_is_told_with_a_mistyped_flag(tmp_path):
    authority = make_ca()
    over = write_pem(tmp_path, "over", make_leaf(authority, "a.test", begins=-9, days=3))
    _, foreign = write_pem(tmp_path, "foreign", make_leaf(authority, "b.test"))
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    gone = str(tmp_path / "gone.pem")
    done = run(
        "proxy", f"https://localhost:1+ca={empty}", "https://localhost:2", "--listn", ":80",
        "--cert", over[0], "--key", foreign, "--client-ca", str(empty),
        "--backend-ca", gone, "--backend-cert", over[1], "--access-log", "/nowhere/log",
    )  # fmt: skip
    assert done.returncode == 2
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 6 * 86400))
    assert [line for line in done.stderr.splitlines() if not line.startswith("  ")] == [
        "netfront proxy: --listn: no such flag",
        f"netfront proxy: --backend-ca {gone}: no such file or directory",
        "netfront proxy: --access-log /nowhere/log: no such file or directory",
        f"netfront proxy: {foreign}: the key does not fit the certificate {over[0]}",
        f"netfront proxy: {over[0]}: the certificate expired on {day}",
        f"netfront proxy: --client-ca {empty}: there is no certificate in it",
        f"netfront proxy: --backend-ca {empty}: there is no certificate in it",
        f"netfront proxy: {over[1]}: there is no certificate in it",
    ]


def test_mistake_beside_the_local_ca_makes_none(tmp_path):
    run("proxy", "3000", "--listn", ":80", NETFRONT_DATA=str(tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


def test_certificate_without_any_key_is_told(tmp_path):
    cert, _ = write_pem(tmp_path, "a", make_leaf(make_ca(), "a.test"))
    done = run("proxy", "3000", "--cert", cert)
    assert (done.returncode, done.stderr) == (
        2,
        f"netfront proxy: --cert {cert}: it has no --key\n"
        "  give --key FILE, or put the key into the certificate's file\n",
    )


@pytest.mark.parametrize(
    ("words", "corrected"),
    [
        (["-l", "http://127.0.0.1:{}"], "-l http://127.0.0.1:{}"),
        (["--listen=http://localhost:{}", "-q"], "--listen=http://localhost:{} -q"),
        (["-l:{}"], "-l:{}"),
        (["-l", "http://:0", "-l", "http://*:{}"], "-l http://:0 -l 'http://*:{}'"),
    ],
)
def test_port_in_use_names_its_holder_and_the_corrected_command(words, corrected):
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run("proxy", "demo:", *[word.format(port) for word in words])
    assert done.returncode == 3
    assert f"port {port} is in use by {comm()} (pid {os.getpid()})\n  try: " in done.stderr
    said = done.stderr.rpartition("try: ")[2].rstrip("\n")
    other = int(re.findall(r"[0-9]+", said)[-1])
    assert said == f"netfront proxy demo: {corrected.format(other)}"
    assert port < other <= port + 20


def test_all_ports_in_use_are_told_at_once_with_one_corrected_command():
    with socket.socket() as one, socket.socket() as other:
        ports = []
        for holder in (one, other):
            holder.bind(("0.0.0.0", 0))
            holder.listen()
            ports.append(holder.getsockname()[1])
        done = run(
            "proxy", "demo:", "-l", f"http://:{ports[0]}", "-l", f"http://*:{ports[1]}", "-l", "http://:0"
        )
    *refused, command = done.stderr.splitlines()
    assert done.returncode == 3
    assert refused == [
        f"netfront proxy: cannot listen on http://{host}:{port}: port {port} is in use by {comm()} (pid {os.getpid()})"
        for host, port in zip(("localhost", "*"), ports, strict=True)
    ]
    moved = re.fullmatch(
        r"  try: netfront proxy demo: -l http://:(\d+) -l 'http://\*:(\d+)' -l http://:0", command
    )
    assert moved
    assert len({*map(int, moved.groups()), *ports}) == 4


@pytest.mark.parametrize("is_relative", [True, False])
def test_unix_socket_in_use_names_its_holder(tmp_path, monkeypatch, is_relative):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind("sock" if is_relative else str(tmp_path / "sock"))
        holder.listen()
        done = run("proxy", "demo:", "-l", f"unix:{tmp_path}/sock")
    assert (done.returncode, done.stderr) == (
        3,
        f"netfront proxy: cannot listen on unix:{tmp_path}/sock: "
        f"the socket is in use by {comm()} (pid {os.getpid()})\n",
    )


def test_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "notes").write_text("mine")
    done = run("proxy", "demo:", "-l", f"unix:{tmp_path}/notes")
    assert (done.returncode, done.stderr) == (
        3,
        f"netfront proxy: cannot listen on unix:{tmp_path}/notes: there is such a file, and it is no socket\n"
        "  give another name\n",
    )
    assert (tmp_path / "notes").read_text() == "mine"


def comm():
    with open("/proc/self/comm", encoding="utf-8") as name:
        return name.read().strip()


def test_no_command_shows_help_on_stderr():
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "netfront proxy 3000" in done.stderr


def test_debug_shows_where_a_mistake_was_found():
    done = run("proxy", "x:y", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_interrupt_while_it_is_imported_is_no_traceback():
    code = (
        "import builtins, sys\n"
        "from netfront.__main__ import main\n"
        "def interrupted(*_):\n"
        "    raise KeyboardInterrupt\n"
        "builtins.__import__ = interrupted\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "proxy", "3000"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_mistake_opens_no_socket(tmp_path):
    trace = subprocess.run(
        [sys.executable, "-c", _WATCHED, "proxy", "3000", "--timeout", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (trace.returncode, trace.stdout) == (2, "opened: []\n")


_WATCHED = """
import sys
opened = []
sys.addaudithook(lambda event, args: event == "socket.__new__" and opened.append(args))
from netfront.__main__ import main
code = main()
print("opened:", opened)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["-h"],
        ["--version"],
        ["proxy", "--help"],
        ["proxy", "-h"],
        ["trust", "-h"],
        ["proxy", "--x"],
    ],
)
def test_help_and_mistakes_import_nothing_heavy(args):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "netfront", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "netfront.__main__" not in imported  # it runs as __main__
    assert "netfront" in imported
    assert imported.isdisjoint(HEAVY)


def test_help_costs_little(tmp_path):
    run("--help")  # compiled files
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) <= 0.12


def test_version_is_told():
    assert run("--version").stdout == f"netfront {__version__}\n"


def test_help_of_both_lengths_goes_to_stdout():
    short, full = run("proxy", "-h"), run("proxy", "--help")
    assert (short.returncode, short.stderr, full.returncode, full.stderr) == (0, "", 0, "")
    assert len(short.stdout.splitlines()) < 50 < len(full.stdout.splitlines())
    assert "\x1b" not in short.stdout + full.stdout
    assert short.stdout.count("netfront proxy ") >= 4


def test_help_wins_over_mistakes():
    assert run("proxy", "--help", "--nonsense").returncode == 0


RESULTS = [
    ["--help"],
    ["--version"],
    ["proxy", "--help"],
    ["trust", "-h"],
    ["completion", "bash"],
    ["proxy", "demo:", "--explain"],
    ["trust", "path"],
    ["trust", "env"],
]


@pytest.mark.parametrize("args", RESULTS)
def test_result_that_cannot_be_written_is_told(args):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(*args), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        1,
        "netfront: cannot write to stdout: no space left on device\n",
    )


@pytest.mark.parametrize("args", RESULTS)
def test_reader_that_has_left_is_no_fault_to_speak_of(args):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        done = subprocess.run(
            command(*args), cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("args", RESULTS)
def test_closed_streams_are_no_traceback(args):
    shell = ["sh", "-c", '"$@" <&- >&-', "-", *command(*args)]
    done = subprocess.run(shell, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("locale", ["C", "en_US.UTF-8"])
def test_what_is_no_text_is_shown_escaped(locale):
    args = [os.fsencode(arg) for arg in command("proxy", "demo:", "--explain", "-H")]
    done = subprocess.run(
        [*args, b"X: \xff", b"-l", b"unix:/tmp/\xff"],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, "LC_ALL": locale, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"set X: \\xff" in done.stdout
    assert done.stdout.isascii()


def test_help_into_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m netfront proxy --help | head -1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_password_that_is_not_in_the_environment_is_told_once(tmp_path):
    cert, key = write_pem(tmp_path, "c", make_leaf(make_ca(), "a.test"), password=b"secret")
    done = run("proxy", "demo:", "--cert", cert, "--key", key, "--key-password", "env:NETFRONT_NOT_SET")
    assert done.returncode == 2
    assert done.stderr.count("no such environment variable") == 1
