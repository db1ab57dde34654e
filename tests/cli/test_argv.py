"""The words of a command line: flags told from values and from the rest, and lines of files."""

import pytest

from netfront.cli.argv import Flag, Word, split_flags

FLAGS = [
    Flag("listen", ("--listen", "-l"), repeats=True),
    Flag("header", ("--header", "-H"), repeats=True),
    Flag("port_file", ("--port-file",)),
    Flag("cert", ("--cert",)),
    Flag("quiet", ("--quiet", "-q"), takes_value=False),
    Flag("insecure", ("--insecure", "-k"), ("--no-insecure",), takes_value=False),
    Flag("old", ("--from",), is_hidden=True),
]


def split(*args, files=()):
    texts = dict(files)

    def read(path):
        if path not in texts:
            raise FileNotFoundError(2, "No such file or directory")
        return texts[path]

    return split_flags(FLAGS, args, read, lambda opt: None)


@pytest.mark.parametrize(
    ("args", "values"),
    [
        (["--listen", ":80"], {"listen": [":80"]}),
        (["--listen=:80"], {"listen": [":80"]}),
        (["-l", ":80", "-l:81", "-l=:82"], {"listen": [":80", ":81", ":82"]}),
        (["-H", "-Name"], {"header": ["-Name"]}),
        (["--header", "A: b=c"], {"header": ["A: b=c"]}),
        (["--header=A: b=c"], {"header": ["A: b=c"]}),
        (["-qk"], {"quiet": True, "insecure": True}),
        (["-ql:80"], {"quiet": True, "listen": [":80"]}),
        (["-k", "--no-insecure"], {"insecure": False}),
        (["--port-file", "a", "--port-file", "b"], {"port_file": "b"}),
        (["--port-file", "-"], {"port_file": "-"}),
        (["--port-file="], {"port_file": ""}),
        (["--from", "x"], {"old": "x"}),
    ],
)
def test_flags_find_their_values(args, values):
    parsed = split(*args)
    assert (parsed.values, parsed.words, parsed.faults) == (values, [], [])


def test_words_and_flags_may_be_mixed():
    parsed = split("3000", "-q", "/api=:1", "--listen", ":80", "x")
    assert parsed.words == ["3000", "/api=:1", "x"]


def test_a_lone_dash_is_a_word():
    assert split("-").words == ["-"]


def test_what_follows_two_dashes_is_the_child():
    parsed = split("3000", "--", "npm", "-q", "@x")
    assert (parsed.words, parsed.child, parsed.values) == (["3000"], ["npm", "-q", "@x"], {})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--quite"], "--quite: no such flag\n  did you mean --quiet?"),
        (["--prt", "1"], "--prt: no such flag\n  did you mean --port-file?"),
        (["--port"], "--port: no such flag\n  did you mean --listen?"),
        (["--zzzzzz"], "--zzzzzz: no such flag\n  --help lists all flags"),
        (["-K"], "-K: no such flag\n  did you mean -k?"),
        (["-qz"], "-z: no such flag\n  --help lists all flags"),
        (["--form"], "--form: no such flag\n  --help lists all flags"),
        (["--listen"], "--listen: it needs a value"),
        (["--listen", "-q"], "--listen: it needs a value"),
        (["--listen", "--"], "--listen: it needs a value"),
        (["-ql"], "-l: it needs a value"),
        (["--quiet=yes"], "--quiet=yes: a switch takes no value\n  write --quiet alone"),
    ],
)
def test_wrong_flag_is_told_with_what_was_meant(args, message):
    assert [str(fault) for fault in split(*args).faults] == [message]


def test_value_of_a_mistyped_flag_is_not_taken_for_a_target():
    assert split("--prot-file", "/tmp/x", "3000").words == ["3000"]


def test_all_wrong_flags_are_told():
    parsed = split("--quite", "3000", "--listn", ":80", "-Z", "--listen")
    assert [fault.what for fault in parsed.faults] == ["--quite", "--listn", "-Z", "--listen"]


FILE = """\
# the shop
/api=:8000   # behind a space
/x#y=:1

  --listen :8443
-H X-A: b = c
--header=X-B: c
--cert site.pem
--quiet
GET /reports=:3004
"""


def test_file_is_read_one_argument_a_line():
    parsed = split("3000", "@etc/shop.nf", "-k", files={"etc/shop.nf": FILE})
    assert parsed.words == ["3000", "/api=:8000", "/x#y=:1", "GET /reports=:3004"]
    assert parsed.values == {
        "listen": [":8443"],
        "header": ["X-A: b = c", "X-B: c"],
        "cert": "site.pem",
        "quiet": True,
        "insecure": True,
    }
    assert parsed.faults == []


def test_word_of_a_file_knows_its_place_and_its_folder():
    parsed = split("@etc/shop.nf", files={"etc/shop.nf": FILE})
    cert = parsed.values["cert"]
    assert isinstance(cert, Word)
    assert (cert.where, cert.as_path) == ("etc/shop.nf:8", "etc/site.pem")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3000\n@other", "f:2: @other: a file names no other file"),
        ("\n\n--quite", "f:3: --quite: no such flag\n  did you mean --quiet?"),
        ("--listen", "f:1: --listen: it needs a value"),
        ("3000\n--cert x\0\0", "f:2: a line: it holds a control character\n  the file may be half written"),
        ("--quiet yes", "f:1: --quiet=yes: a switch takes no value\n  write --quiet alone"),
        (
            "--cert 'site.pem'",
            "f:1: --cert 'site.pem': a line is taken as it stands, and needs no quotes\n  write --cert site.pem",
        ),
        ("/a=:1 --quiet", "f:1: /a=:1 --quiet: a line is one argument\n  give --quiet a line of its own"),
    ],
)
def test_fault_in_a_file_is_told_with_its_line(text, message):
    assert [str(fault) for fault in split("@f", files={"f": text}).faults] == [message]


def test_what_only_looks_like_quotes_or_a_flag_is_a_value():
    text = """--cert "ok"\n--cert 'a' 'b'\n--cert x --quiet\nGET /a --no-such=:1\n"""
    parsed = split("@f", files={"f": text})
    assert parsed.faults == []
    assert (parsed.values, parsed.words) == ({"cert": "x --quiet"}, ["GET /a --no-such=:1"])


def test_missing_file_is_told():
    assert [str(fault) for fault in split("@nowhere").faults] == ["@nowhere: no such file or directory"]


def test_value_that_begins_with_at_is_no_file():
    assert split("--cert", "@x").values == {"cert": "@x"}


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    assert Word("~/x", folder="etc").as_path == "/home/u/x"
