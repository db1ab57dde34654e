"""What netfront answers by itself, as pure data: texts and redirects."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from netfront.policy.template import Template
from netfront.wire.target import Target

__all__ = ["RedirectPlan", "RespondPlan"]

_UNSAFE = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]")
"""What browsers may read as something else in a Location: a backslash is a slash to them."""


@dataclass(frozen=True, slots=True)
class RespondPlan:
    """A text of our own."""

    status: int
    text: str = ""

    @property
    def content_type(self) -> str:
        """What the text is taken for: JSON, HTML or plain."""
        if self.text.startswith(("{", "[")):
            try:
                json.loads(self.text)
                return "application/json"
            except ValueError:
                pass
        return "text/html; charset=utf-8" if self.text.startswith("<") else "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class RedirectPlan:
    """Where to go instead.

    Args:
        behind: how many segments stand before the `**` of its scope.
    """

    status: int
    url: Template
    behind: int = 0

    def place(self, target: Target, params: Mapping[str, bytes]) -> bytes:
        """Give where a request goes. Raises BadMessage: 400, its target cannot be normalised safely."""
        if "{**}" not in self.url.text:
            return self.url.fill(params)
        rest = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], target.behind(self.behind).lstrip(b"/"))
        return self.url.fill({**params, "**": rest})
