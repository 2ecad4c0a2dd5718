"""`/templates`: each mail as its reader gets it, wide and narrow; write one, and send it to oneself."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.datastructures import FormData
from starlette.responses import Response

from services.console.api import ApiError, new_once, together
from services.console.lists import listed
from services.console.mail_frame import mail_frame
from services.console.render import address, segment
from services.console.routing import change, show
from services.console.visit import Visit, quietly

TEXTS = ("subject", "markdown", "html", "text")
BLANK: Mapping[str, Any] = {
    "name": "",
    "subject": "Hello {{ contact.name or 'there' }}",
    "markdown": "Hi {{ contact.name or 'there' }},\n\n…\n\n{{ owner.name or brand.name }}\n",
}
OFFERED = 50  # accounts looked through for one of each tier
TRIGGERS = 5  # of the account, to choose from


class Shown(NamedTuple):
    """A mail as an account would get it; `wrong`: why it cannot be made, by field."""

    subject: str = ""
    text: str = ""
    wrong: Mapping[str, str] | None = None


async def templates(visit: Visit) -> Response:
    """The list."""
    found = await listed(visit, "/v1/templates", ())
    return await visit.page("templates.html", templates=found["items"], next_cursor=found["next_cursor"])


async def template(visit: Visit) -> Response:
    """One of them, as a chosen account would get it."""
    name = visit.part("name")
    saved, accounts = await together(
        visit.api.get("/v1/templates/{}", name),
        quietly(visit.api.get("/v1/accounts", limit=OFFERED), {"items": []}),
    )
    offered = one_of_each(accounts["items"])
    subject = {**subject_of(visit.query), "account": visit.query.get("account") or first_of(offered)}
    triggers: Mapping[str, Any] = {"items": []}
    shown = None
    if subject["account"]:
        shown, triggers = await together(
            _previewed(visit, name, subject),
            quietly(visit.api.get("/v1/triggers", account=subject["account"], limit=TRIGGERS), triggers),
        )
    return await visit.page(
        "template.html",
        template=saved,
        offered=offered,
        subject=subject,
        shown=shown,
        triggers=choices_of(triggers["items"]),
    )


def choices_of(triggers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The triggers that a mail may tell of, for a select."""
    return [
        ("", "None: what a trigger tells stays empty"),
        *((one["id"], f"{one['rule']}, {one['at'][:10]}") for one in triggers),
    ]


def subject_of(given: Mapping[str, Any]) -> dict[str, str]:
    """For whom a mail is made, as a form or an address says: an account, and the trigger that it tells of."""
    found = {name: str(given.get(name) or "").strip() for name in ("account", "trigger")}
    return {name: value for name, value in found.items() if value}


def first_of(offered: Sequence[Mapping[str, Any]]) -> str:
    """The account that a mail is shown for if nobody chose one. Empty without accounts."""
    return str(offered[0]["id"]) if offered else ""


def one_of_each(accounts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first account of each tier: what suits one reader may not suit another."""
    found: dict[str, Mapping[str, Any]] = {}
    for account in accounts:
        found.setdefault(str(account["tier"]), account)
    return list(found.values())


async def _previewed(visit: Visit, name: str, subject: Mapping[str, str]) -> Shown:
    try:
        mail = await visit.api.send("POST", "/v1/templates/{}/preview", name, body=subject)
    except ApiError as error:
        if error.status != 422:
            raise
        return Shown(wrong={each.field: each.message for each in error.errors})
    return Shown(mail["subject"], mail["text"])


async def frame(visit: Visit) -> Response:
    """The saved mail itself, for the frames."""
    body = subject_of(visit.query)
    try:
        mail = await visit.api.send("POST", "/v1/templates/{}/preview", visit.part("name"), body=body)
    except ApiError as error:
        if error.status != 422:
            raise
        return mail_frame(None)
    return mail_frame(mail["html"])


async def preview(visit: Visit) -> Response:
    """The mail as it is being written, for the frames beside the form. Nothing is saved."""
    document = document_of(visit.form)
    body = {**subject_of(visit.form), "template": document}
    try:
        mail = await visit.api.send("POST", "/v1/templates/{}/preview", document["name"] or "new", body=body)
    except ApiError as error:
        if error.status != 422:
            raise
        answer = await visit.piece("mail_problem.html", problems=error.errors, detail=error.detail)
        return mail_frame(bytes(answer.body).decode())
    return mail_frame(mail["html"])


async def check(visit: Visit) -> Response:
    """What would be wrong with it, as it is being written."""
    try:
        found = await visit.api.send("POST", "/v1/templates/check", body=document_of(visit.form))
        return await visit.piece("checked.html", problems=(), warnings=found["warnings"], words=None)
    except ApiError as error:
        if error.status != 422:
            raise
        return await visit.piece("checked.html", problems=error.errors, warnings=(), words=None)


def document_of(form: FormData) -> dict[str, Any]:
    """The template that a form describes. Texts that are left empty are left out."""
    document: dict[str, Any] = {"name": str(form.get("name", "")).strip()}
    for field in ("description", *TEXTS):
        if value := str(form.get(field, "")).strip("\n"):
            document[field] = value
    variants = {}
    for tag in form.getlist("variant"):
        texts = {
            field: value
            for field in TEXTS
            if (value := str(form.get(f"variants.{tag}.{field}", "")).strip("\n"))
        }
        if texts:
            variants[str(tag)] = texts
    new = str(form.get("new_variant", "")).strip()
    if new and new not in variants:
        variants[new] = {field: document[field] for field in TEXTS if field in document}
    if variants:
        document["variants"] = variants
    return document


async def new(visit: Visit) -> Response:
    """A form for a template that is not there yet."""
    return await _form(visit, BLANK, None)


async def edit(visit: Visit) -> Response:
    """A form for one that is."""
    saved = await visit.api.get("/v1/templates/{}", visit.part("name"))
    return await _form(visit, saved, saved["version"])


async def _form(
    visit: Visit, document: Mapping[str, Any], version: Any, refused: ApiError | None = None
) -> Response:
    accounts = await quietly(visit.api.get("/v1/accounts", limit=OFFERED), {"items": []})
    offered = one_of_each(accounts["items"])
    return await visit.page(
        "template_form.html",
        refused.status if refused else 200,
        template=document,
        version=version,
        refused=refused,
        errors={each.field: each.message for each in refused.errors} if refused else {},
        subject={"account": first_of(offered), **subject_of(visit.query), **subject_of(visit.form)},
        once=str(visit.form.get("once") or new_once()),
    )


async def save(visit: Visit) -> Response:
    """Save what the form says, as a new version in force."""
    document, version = document_of(visit.form), str(visit.form.get("version", ""))
    try:
        if version:
            saved = await visit.api.send(
                "PUT", "/v1/templates/{}", document["name"], body=document, if_match=f'"{version}"'
            )
        else:
            once = str(visit.form.get("once", ""))
            saved = await visit.api.send("POST", "/v1/templates", body=document, once=once or new_once())
    except ApiError as error:
        if error.status not in {409, 412, 422}:
            raise
        return await _form(visit, document, version or None, error)
    to = address(f"/templates/{segment(saved['name'])}", subject_of(visit.form))
    warned = "".join(f" Note: {each['message']}." for each in saved.get("warnings", ())[:2])
    return visit.go(to, f"Saved as version {saved['version']}; new plays use it.{warned}")


async def send_test(visit: Visit) -> Response:
    """Send it to an address, to look at it there."""
    name, subject = visit.part("name"), subject_of(visit.form)
    back = address(f"/templates/{segment(name)}", subject)
    body = {**subject, "to": str(visit.form.get("to", "")).strip()}
    try:
        sent = await visit.api.send("POST", "/v1/templates/{}/send-test", name, body=body)
    except ApiError as error:
        if error.status not in {409, 422, 429, 502}:
            raise
        return visit.go(back, f"No test mail was sent: {error.detail}")
    return visit.go(back, f"A test mail went to {sent['to']}: {sent['detail']}")


ROUTES = [
    show("/templates", templates),
    show("/templates/-/new", new, "actions:write"),
    change("/templates/preview", preview),
    change("/templates/check", check),
    change("/templates/save", save),
    show("/templates/{name}", template),
    show("/templates/{name}/edit", edit, "actions:write"),
    show("/templates/{name}/frame", frame),
    change("/templates/{name}/send-test", send_test),
]
