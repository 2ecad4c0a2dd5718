"""`/plays`: how far each customer has come in a playbook; end one, release or discard those that are held."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from services.console.api import ApiError, together
from services.console.lists import chosen, is_narrowed, listed
from services.console.render import address, plural
from services.console.routing import change, show
from services.console.visit import Visit

FILTERS = (
    "status", "reason", "account", "rule", "playbook", "step", "any_step", "tier", "owner", "after", "before",
)  # fmt: skip
TABS = (
    ("All", ""), ("Open", "open"), ("Held", "held"), ("Finished", "finished"), ("Exited", "exited"),
    ("Skipped", "skipped"), ("Held out", "held_out"),
)  # fmt: skip
VERBS = {"release": "released", "discard": "discarded"}


def tabs_of(query: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """The tabs as links that keep the other filters: (text, address, whether it is the present one)."""
    rest = {name: value for name, value in query.items() if name not in {"status", "reason", "cursor"}}
    now = query.get("status", "")
    return [(text, address("/plays", rest, status=status), status == now) for text, status in TABS]


async def plays(visit: Visit) -> Response:
    """The list."""
    found = await listed(visit, "/v1/plays", FILTERS)
    return await visit.page(
        "plays.html",
        plays=found["items"],
        next_cursor=found["next_cursor"],
        tabs=tabs_of(visit.query),
        narrowed=is_narrowed(visit, FILTERS),
        held=sum(play["status"] == "held" for play in found["items"]),
    )


async def play(visit: Visit) -> Response:
    """One of them: what happened in it, in order of time."""
    return await _shown(visit)


async def _shown(visit: Visit, refused: ApiError | None = None) -> Response:
    found = await visit.api.get("/v1/plays/{}", visit.part("id"))
    return await visit.page("play.html", refused.status if refused else 200, play=found, refused=refused)


async def end(visit: Visit) -> Response:
    """Take a customer out of a playbook."""
    return await _changed(
        visit, "exit", "The play has ended. Nothing more of it goes out, and its open tasks are closed."
    )


async def release(visit: Visit) -> Response:
    """Let one that is held begin."""
    return await _changed(visit, "release", "The play begins.")


async def discard(visit: Visit) -> Response:
    """Skip one that is held."""
    return await _changed(visit, "discard", "The play is skipped.")


async def _changed(visit: Visit, verb: str, said: str) -> Response:
    play_id = visit.part("id")
    try:
        await visit.api.send("POST", f"/v1/plays/{{}}/{verb}", play_id)
    except ApiError as error:
        if error.status != 409:
            raise
        return await _shown(visit, error)
    return visit.go(f"/plays/{play_id}", said)


async def release_chosen(visit: Visit) -> Response:
    """Let the chosen ones begin: those that were shown, and no others."""
    return await _many(visit, "release")


async def discard_chosen(visit: Visit) -> Response:
    """Skip the chosen ones."""
    return await _many(visit, "discard")


async def _many(visit: Visit, verb: str) -> Response:
    back = address("/plays", {name: str(visit.form.get(name, "")) for name in FILTERS})
    ids = chosen(visit)
    if not ids:
        return visit.go(back, "No play was chosen.")
    refused = [why for why in await together(*(_one(visit, verb, each) for each in ids)) if why]
    said = f"{plural(len(ids) - len(refused), 'play')} {VERBS[verb]}."
    return visit.go(back, said + (f" {len(refused):,} left out: {refused[0]}" if refused else ""))


async def _one(visit: Visit, verb: str, play_id: str) -> Any:
    try:
        await visit.api.send("POST", f"/v1/plays/{{}}/{verb}", play_id)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise
        return error.detail
    return None


ROUTES = [
    show("/plays", plays),
    change("/plays/release", release_chosen),
    change("/plays/discard", discard_chosen),
    show("/plays/{id}", play),
    change("/plays/{id}/exit", end),
    change("/plays/{id}/release", release),
    change("/plays/{id}/discard", discard),
]
