"""What is known of rules without the table of routes."""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Guards"]


class Guards(NamedTuple):
    """Which paths are guarded.

    Args:
        has_paths: whether a host, as `host_of` gives it, has a rule on a path.
        lies_below: whether something below a path of a host is restricted that the path itself is not.
    """

    has_paths: Callable[[bytes], bool]
    lies_below: Callable[[bytes, bytes], bool]
