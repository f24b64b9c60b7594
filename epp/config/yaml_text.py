"""YAML or JSON text to plain data. A key that stands twice in one mapping is an error."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import yaml
from yaml.composer import Composer

from epp.config.errors import ConfigError

MERGE: Final = "tag:yaml.org,2002:merge"  # of the key `<<`


class _Loader(Composer, yaml.CSafeLoader):
    """The safe loader, without silent loss of the first of two equal keys.

    Parsed by libyaml, composed in Python: quick, and other threads have their turns in between.
    """

    def __init__(self, stream: str) -> None:
        yaml.CSafeLoader.__init__(self, stream)
        Composer.__init__(self)
        self._checked: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Keys are compared before `<<` brings in others, which may stand in both mappings."""
        if node not in self._checked:
            self._checked.add(node)
            self._refuse_duplicates(node)
        super().flatten_mapping(node)

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        seen: set[Hashable] = set()
        for key_node, _value in node.value:
            merges = key_node.tag == MERGE
            key = key_node.value if merges else self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key!r}", key_node.start_mark
                )
            seen.add(key)


def load(text: str) -> object:
    """Raises ConfigError with line and column."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        raise ConfigError([f"{place}: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([f"document: {error}"]) from None
