"""Load YAML of plain values only, without aliases that expand."""

from __future__ import annotations

from typing import Any

import yaml

from memnet_core._util.sanitize import escape_control_chars

__all__ = ["load_plain"]

_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}


def load_plain(text: str) -> Any:
    """Return the mappings, lists, numbers and texts of a YAML document.

    Aliases, of which a few lines can make billions of values, tags, dates and merged
    mappings are not taken.

    Raises
    ------
    yaml.YAMLError, ValueError, OverflowError, RecursionError
        If the text is anything else.
    """
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            problem = "write values as they are, without * and !"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if not all(map(_is_of_text, value)):
            raise ValueError(
                f"{escape_control_chars(value)} holds characters that no text has"
            )
        return value


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _is_of_text(character: str) -> bool:
    is_control = character < " " and character not in "\n\t"
    is_half = "\ud800" <= character <= "\udfff"
    # Python holds the bytes of folders' names that are not UTF-8 so.
    is_raw = "\udc80" <= character <= "\udcff"
    return not is_control and (is_raw or not is_half)
