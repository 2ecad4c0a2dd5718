"""What other systems call an account, and a contact's phone number."""

import re
from typing import Any

from schemas.names import MAX_NAME, is_name

MAX_SYSTEMS, MAX_SYSTEM = 50, 64  # systems of one account; characters of a system's name
MAX_IDS = 100  # of one account in one system

ExternalIds = dict[str, str | list[str]]  # system → one id, or several, as they were given
_SEPARATORS = re.compile(r"[\s().\-\u2010-\u2015/]+")  # how people write them between the digits
_E164 = re.compile(r"\+[1-9]\d{6,14}")


def valid_system(text: str) -> str:
    """The name of another system. Raises `ValueError`."""
    if not is_name(text) or len(text) > MAX_SYSTEM or text != text.strip():
        raise ValueError(f"a system's name should have 1 to {MAX_SYSTEM} characters, such as stripe")
    return text


def valid_external_id(text: str) -> str:
    """The id, without spaces around it. Raises `ValueError`."""
    bare = text.strip()
    if not is_name(bare):
        raise ValueError(f"should be an id of 1 to {MAX_NAME} characters")
    return bare


def valid_ids(value: Any) -> str | list[str] | None:
    """The ids of one system as the API takes them. Raises `ValueError`."""
    if isinstance(value, list):
        if len(value) > MAX_IDS or not all(isinstance(one, str) for one in value):
            raise ValueError(f"should be a list of at most {MAX_IDS} ids, each as text")
        return [valid_external_id(one) for one in value]
    if value is None or isinstance(value, str):
        return value if value is None else valid_external_id(value)
    raise ValueError('should be an id as text, such as "36", a list of ids, or null')


def valid_phone(text: str) -> str:
    """A phone number in E.164, without what people write between the digits. Raises `ValueError`."""
    bare = _SEPARATORS.sub("", text)
    if not _E164.fullmatch(bare) or not bare.isascii():
        raise ValueError("should be a phone number with its country's code, such as +4930123456, or null")
    return bare


def merged_ids(known: ExternalIds, said: Any) -> ExternalIds:
    """Merge what an update says, system by system: ids of a system are replaced as a whole, null and an empty list
    delete them, and null in place of the object deletes all. What is neither text nor a list is ignored."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        return known
    merged = dict(known)
    for system, ids in said.items():
        if isinstance(ids, list):
            ids = list(dict.fromkeys(one for one in ids if isinstance(one, str)))[:MAX_IDS]
        if isinstance(ids, str | list) and ids and (system in merged or len(merged) < MAX_SYSTEMS):
            merged[system] = ids
        elif ids is None or ids == []:
            merged.pop(system, None)
    return merged


def listed(ids: str | list[str]) -> list[str]:
    """The ids of one system as a list."""
    return [ids] if isinstance(ids, str) else ids
