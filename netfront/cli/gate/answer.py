"""What netfront answers by itself, as pure data: texts and redirects."""

import json
from dataclasses import dataclass

from netfront.policy.template import Template

__all__ = ["RedirectPlan", "RespondPlan"]


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
    """Where to go instead."""

    status: int
    url: Template
