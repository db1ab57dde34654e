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
        ("80 -l unix:/80", "80 -l unix:/80 --listen :8080"),
        ("3000 -l", "3000 -l --listen :8080"),
    ],
)
def test_port_is_replaced_where_it_is_listened_on(words, corrected):
    assert elsewhere(words.split(), 80, 8080) == corrected.split()
