"""The sentence of a stored document; None for one that this release cannot read. Pure."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from pydantic import ValidationError

from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from schemas.sentences import of_playbooks, of_rules

KEPT = 5_000  # sentences in memory; they follow from the documents alone
_encode = msgspec.json.Encoder().encode
_SAID: Mapping[str, Callable[[bytes], str]] = {
    "rule": lambda doc: of_rules.sentence(RuleIn.model_validate_json(doc)),
    "playbook": lambda doc: of_playbooks.sentence(PlaybookIn.model_validate_json(doc)),
}


def sentence_of(kind: str, name: str, doc: Mapping[str, Any]) -> str | None:
    """What a rule or playbook (`kind`) says, in words."""
    return _sentence(kind, _encode({**doc, "name": name}))


@lru_cache(KEPT)
def _sentence(kind: str, doc: bytes) -> str | None:
    try:
        return _SAID[kind](doc)
    except ValidationError:
        return None
