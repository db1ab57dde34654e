"""What a passage says of its tries."""

import pytest

from netfront.net.passage import Passage
from netfront.net.stream import Facts


@pytest.mark.parametrize(
    ("tries", "why", "said"),
    [
        (0, (), ""),
        (1, ("connection refused",), ""),
        (2, ("connection refused",), "retried: connection refused"),
        (2, (), "retried: no answer"),
        (2, ("connection refused", "connection reset by peer"), "retried: connection refused"),
        (3, ("connection refused", "no route to host"), "retried: no route to host"),
    ],
)
def test_reason_of_the_last_try_is_what_failed_before_it(tries, why, said):
    passage = Passage(Facts(("127.0.0.1", 1), ("127.0.0.1", 2)), 0.0, tries=tries, why=why)
    assert passage.retried == said
