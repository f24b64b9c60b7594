"""The one error of a wrong configuration."""

from __future__ import annotations

from collections.abc import Iterable


class ConfigError(Exception):
    """Every problem on a line of its own, each beginning with the place in the document."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
