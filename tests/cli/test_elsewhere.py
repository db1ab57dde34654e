"""The corrected command: another port in the words that were given."""

import pytest

from netfront.cli.elsewhere import elsewhere


@pytest.mark.parametrize(
    ("words", "corrected"),
    [
        ("3000 -l :80", "3000 -l :8080"),
        ("3000 -l:80", "3000 -l:8080"),
        ("3000 --listen=http://[::1]:80", "3000 --listen=http://[::1]:8080"),
        ("3000 -l https://:443 --redirect-http :80", "3000 -l https://:443 --redirect-http :8080"),
        (":80 -l :80 -l http://*:80", ":80 -l :8080 -l http://*:8080"),
        ("3000", "3000 --listen :8080"),
        (":80=3000 -l :80", ":8080=3000 -l :8080"),
        ("80 -l unix:/80", "80 -l unix:/80 --listen :8080"),
        ("3000 -l", "3000 -l --listen :8080"),
    ],
)
def test_port_is_replaced_where_it_is_listened_on(words, corrected):
    assert elsewhere(words.split(), {80: 8080}) == corrected.split()


def test_several_ports_are_replaced_at_once_and_none_twice():
    words = [":80=1", ":81=2", "-l", ":80", "-l", ":81", "3000"]
    assert elsewhere(words, {80: 81, 81: 82}) == [":81=1", ":82=2", "-l", ":81", "-l", ":82", "3000"]


def test_port_in_a_file_of_arguments_has_no_corrected_command():
    assert elsewhere(["@site.nf"], {80: 8080}) == []
    assert elsewhere(["@site.nf", "-l", ":80"], {80: 8080}) == ["@site.nf", "-l", ":8080"]


def test_without_another_port_there_is_no_command():
    assert elsewhere(["3000", "-l", "unix:x"], {}) == []
