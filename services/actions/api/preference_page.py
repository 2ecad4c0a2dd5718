"""The page behind the link in a mail: what its reader gets, with a button for each topic. Pure; it needs no script."""

from html import escape

from services.actions.storage.preferences import Choice, ListedTopic

_STATES = {
    Choice.ON: "You get these mails.",
    Choice.OFF: "Stopped.",
    Choice.CLOSED: "Not sent to this address any more. To get them again, reply to one of our mails.",
}
_BUTTONS = {Choice.ON: ("stop", "Stop", "Stop"), Choice.OFF: ("back", "Get again", "Get mails again")}


def asking(address: str | None, topics: list[ListedTopic]) -> tuple[str, str]:
    """The title and the body before anything is changed. The first topic is that of the mail."""
    about = f"<strong>{escape(topics[0].title)}</strong>"
    whom = f" to {_address(address)}" if address else ""
    if topics[0].choice == Choice.ON:
        head = f"""<h1>No more of these mails?</h1>
<p>Stop our mails about {about}{whom}, or all of them.</p>
{_form("", "", f"Unsubscribe from {escape(_called(topics[0]))}")}
{_form("topics", "all", "Unsubscribe from all topics", "second")}"""
    else:
        head = f"<h1>You get no mails about {about}</h1>\n<p>{_to(address)}{_STATES[topics[0].choice]}</p>"
    return "Unsubscribe", f"{head}\n{_list(topics)}\n<small>Nothing has changed yet. {_REPLIES}</small>"


def changed(
    address: str | None, topics: list[ListedTopic], stopped: str | None, back: str | None
) -> tuple[str, str]:
    """The same after a change: `stopped` or `back` is the title of a topic, "" stands for all of them."""
    if stopped is not None:
        what = (
            f"no more mails about <strong>{escape(stopped)}</strong>" if stopped else "no more mails from us"
        )
        title, said = "You are unsubscribed", f"{_who(address)} {what}."
    elif back is not None:
        what = f"mails about <strong>{escape(back)}</strong>" if back else "our mails"
        title, said = "Welcome back", f"{_who(address)} {what} again."
    else:
        title, said = (
            "Nothing has changed",
            "These mails were stopped for another reason, which this page cannot undo.",
        )
    rest = _form("topics", "all", "Unsubscribe from all topics", "second") if stopped else ""
    head = f'<div role="status"><h1>{title}</h1>\n<p>{said}</p></div>\n{rest}'
    return title, f"{head}\n{_list(topics)}\n<small>{_REPLIES}</small>"


_REPLIES = "Replies to people you write with are not affected."


def _list(topics: list[ListedTopic]) -> str:
    """Every topic with its state and a button; what was stopped altogether can be taken back altogether."""
    rows = "\n".join(map(_row, topics))
    off = [one for one in topics if one.choice == Choice.OFF]
    every = _form("topics", "back", "Get all of them again", "second") if len(off) > 1 else ""
    return f"<h2>Which mails do you want?</h2>\n<ul>\n{rows}\n</ul>\n{every}"


def _row(topic: ListedTopic) -> str:
    title, button = escape(topic.title), ""
    if topic.choice in _BUTTONS:
        field, word, spoken = _BUTTONS[topic.choice]
        button = _form(field, topic.name, word, "small", f"{spoken} about {title}")
    about = f"\n<p>{escape(topic.description)}</p>" if topic.description else ""
    text = f'<h3>{title}</h3>{about}\n<p class="state">{_STATES[topic.choice]}</p>'
    return f'<li class="{topic.choice}"><div>{text}</div>{button}</li>'


def _form(field: str, value: str, word: str, kind: str = "", spoken: str = "") -> str:
    """A button that posts one field; without one, it is the unsubscribing of RFC 8058."""
    hidden = f'<input type="hidden" name="{field}" value="{escape(value)}">' if field else ""
    look = f' class="{kind}"' if kind else ""
    label = f' aria-label="{spoken}"' if spoken else ""
    return f'<form method="post">{hidden}<button{look}{label}>{word}</button></form>'


def _called(topic: ListedTopic) -> str:
    return f"{topic.name} mails" if topic.title == topic.name else topic.title


def _address(address: str) -> str:
    return f"<strong>{escape(address)}</strong>"


def _who(address: str | None) -> str:
    return f"{_address(address)} gets" if address else "You get"


def _to(address: str | None) -> str:
    return f"{_address(address)}: " if address else ""
