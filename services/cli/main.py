"""The `touchline` command. What a command needs is imported when it runs, so that `--help` is there at once."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from backbone.errors import TouchlineError
from schemas.version import VERSION
from services.cli.import_options import import_

if TYPE_CHECKING:
    from backbone.database import Database

app = typer.Typer(
    name="touchline",
    help="Lifecycle touches from product events: exact rules, tiered playbooks, durable actions.",
    epilog="Settings come from the environment (TOUCHLINE_…) or a .env file: see docs/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys = typer.Typer(help="API keys: make, list, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"touchline {VERSION}")
        raise typer.Exit


@app.callback()
def _touchline(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


class Which(StrEnum):
    """What to serve."""

    ingest = "ingest"
    rules = "rules"
    actions = "actions"
    console = "console"
    all = "all"


@app.command()
def serve(
    which: Annotated[
        Which,
        typer.Argument(
            help="One service, all in one process, or the console before services that run apart."
        ),
    ],
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of TOUCHLINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, instead of TOUCHLINE_PORT.")] = None,
) -> None:
    """Serve until Ctrl-C. With Kafka, several processes of one service share the work."""
    from backbone.settings import load_settings, unknown_settings
    from backbone.telemetry import configure_logging, get_logger
    from services.app import SERVICES, serve_console
    from services.app import serve as serve_until_signal

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(**given)
    configure_logging(settings.log_level, settings.log_format)
    for name in unknown_settings():
        get_logger("touchline").warning("there is no such setting", name=name)
    if which is Which.console:
        serve_console(settings)
    else:
        serve_until_signal(settings, SERVICES if which is Which.all else (which.value,))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is closed; taking the interpreter apart would only cost seconds


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date. Running it twice, or from two places at once, does no harm."""
    from backbone.database import ROOMS
    from backbone.migrations import migrate_all

    with _database() as db:
        migrate_all(db)
    typer.echo(f"up to date: {', '.join(ROOMS)}")


@app.command()
def backup(
    folder: Annotated[
        Path, typer.Argument(help="Where to; must not be there yet, or be empty.", metavar="DIR")
    ],
) -> None:
    """Copy the data folder (tables, log, keys, mails) while the server runs. With PostgreSQL, use pg_dump instead."""
    from backbone.settings import load_settings
    from services.cli.backup import backup as copy

    copied = copy(load_settings(), folder)
    mails = sum(name.startswith("outbox/") for name in copied)
    shown = [name for name in copied if not name.startswith("outbox/")]
    typer.echo(f"{folder}: {', '.join(shown)}" + (f", {mails} mails" if mails else ""))


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="Who it is for; shown as changed_by.")],
    scope: Annotated[
        list[str], typer.Option(help="What it may do; give it several times for several scopes.")
    ],
    email: Annotated[
        str | None, typer.Option(help="The address of the person who has it; tasks for it are theirs.")
    ] = None,
) -> None:
    """Make a key and print it, and nothing else: it cannot be shown again.

    Scopes: events:write, track (Segment calls alone; may stand in a web page), feedback (reports of mail providers
    alone), rules:read, rules:write, actions:read, actions:write, admin (all of them).
    """
    from backbone.clock import WallClock
    from backbone.web.api_keys import create_key

    scopes = [part.strip() for text in scope for part in text.split(",") if part.strip()]
    with _keys_database() as db:
        typer.echo(create_key(db, WallClock(), name, scopes, email))


@keys.command("list")
def keys_list() -> None:
    """All keys, the newest first. Of each its beginning is shown, never the whole."""
    from rich.table import Table

    from backbone.terminal_text import one_line
    from backbone.web.api_keys import list_keys
    from schemas.event import rfc3339
    from services.cli.terminal import Terminal

    with _keys_database() as db:
        found = list_keys(db)
    table = Table("id", "name", "begins", "scopes", "email", "created", "revoked", box=None)
    for key in found:
        revoked = rfc3339(key.revoked_at) if key.revoked_at else ""
        table.add_row(
            key.id,
            one_line(key.name),
            key.prefix + "…",
            " ".join(key.scopes),
            one_line(key.email or ""),
            rfc3339(key.created_at),
            revoked,
        )
    Terminal(width=None if sys.stdout.isatty() else 200, markup=False).print(table)


@keys.command("revoke")
def keys_revoke(key: Annotated[str, typer.Argument(help="Its id, its beginning, or its name.")]) -> None:
    """Revoke a key, or every key of a name. It is in force when the command returns."""
    from backbone.clock import WallClock
    from backbone.web.api_keys import revoke_key

    with _keys_database() as db:
        count = revoke_key(db, WallClock(), key)
    typer.echo(f"revoked: {count}")


@keys.command("ops-webhook")
def keys_ops_webhook() -> None:
    """Print the secret that signs what goes to TOUCHLINE_OPS_WEBHOOK (Standard Webhooks 1.0.0), and nothing else."""
    from backbone.data_folder import secret_key
    from backbone.settings import load_settings
    from services.actions.notices.notifier import webhook_secret

    settings = load_settings()
    typer.echo(webhook_secret(settings, secret_key(settings)))


class Switch(StrEnum):
    """The ways that sending can be switched."""

    on = "on"
    off = "off"


@app.command()
def sending(
    status: Annotated[
        Switch | None, typer.Argument(help="Left out: say how it stands.", metavar="[off|on]")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="For people; shown by GET /v1/sending.")] = None,
) -> None:
    """Stop every mail and webhook at once, in all processes, or let them go on. Tasks are made all the while."""
    from services.cli.sending import sending as switch

    switch(None if status is None else status.value, reason)


@app.command("mail-feedback")
def mail_feedback() -> None:
    """Report the bounce or complaint on standard input, a mail that came to TOUCHLINE_RETURN_PATH.

    For mail servers, which hand each mail to a command. What is no report is left alone. Exit status 75: Touchline
    cannot take it now, so try again later.
    """
    from services.cli.mail_feedback import mail_feedback as tell

    raise typer.Exit(tell(sys.stdin.buffer))


@app.command("mail-test")
def mail_test(
    address: Annotated[str, typer.Argument(help="Who gets the mail.", metavar="ADDRESS")],
    template: Annotated[
        str | None, typer.Option(help="A template on the server to send, in place of a mail of our own.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="With --template: the account that it is filled in for.")
    ] = None,
    contact: Annotated[
        str | None,
        typer.Option(help="With --template: the contact; default: whom a playbook would write to."),
    ] = None,
) -> None:
    """Send a mail to see whether mail works: with the settings here, or a template with those of the server.

    It says which server took it, who it came from and how it is signed. Exit status 1: it was not sent.
    """
    from services.cli import mail_test as story

    raise typer.Exit(story.mail_test(address, template, account, contact))


@app.command()
def apply(
    paths: Annotated[list[Path], typer.Argument(help="YAML files or folders of them.", metavar="PATH…")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and what it would ask; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also delete what the server has and the files do not.")
    ] = False,
) -> None:
    """Bring the server to what the files say. If anything is invalid, nothing is applied.

    Asks before it activates a paused rule, replaces the tiers, the policy or aliases, or deletes anything.
    """
    from services.cli import apply_files

    raise typer.Exit(apply_files.apply(paths, dry_run=dry_run, yes=yes, prune=prune))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it is missing.", metavar="DIR")],
) -> None:
    """Write the server's rules, playbooks, templates, endpoints and single documents as files for `apply`.

    The single ones are tiers, policy, brand, task-mails and aliases.
    """
    from services.cli.export import export as write

    raise typer.Exit(write(folder))


@app.command()
def test(
    paths: Annotated[
        list[Path], typer.Argument(help="*.test.yaml files or folders of them.", metavar="PATH…")
    ],
) -> None:
    """Run scenarios in memory, on the engine that serves. Exit status 1: one failed; 2: one cannot be read."""
    from services.cli import scenario

    raise typer.Exit(scenario.test(paths))


@app.command()
def backtest(
    paths: Annotated[
        list[Path], typer.Argument(help="YAML files with rules, or folders of them.", metavar="PATH…")
    ],
    begin: Annotated[
        str | None, typer.Option("--from", help="Report triggers at or after this time.", metavar="TIME")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Report triggers before this time.", metavar="TIME")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="Other values to try at a path of the rule, in YAML; may be given several times.",
            metavar="PATH=VALUE,…",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="A rule on the server to compare with.", metavar="NAME")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answers instead of drawing them.")
    ] = False,
) -> None:
    """Show what each rule in the files would have done over the server's log. Nothing is saved or sent.

    Exit status 2: a file is wrong; 1: anything else is.
    """
    from services.cli import backtest as story

    done = story.backtest(paths, begin=begin, end=end, vary=vary or [], against=against, as_json=as_json)
    raise typer.Exit(done)


app.command("import")(import_)


@app.command()
def demo(
    detach: Annotated[
        bool | None,
        typer.Option(
            "--detach/--stay",
            help="Leave the server running, or stay until Ctrl-C. Default: stay on a terminal.",
        ),
    ] = None,
) -> None:
    """Replay a real purchase log, which comes with the repository, and show what came of it."""
    from services.cli import demo as story

    raise typer.Exit(story.demo(detach=detach))


@contextmanager
def _database() -> "Iterator[Database]":
    from backbone.data_folder import make_data_dir
    from backbone.database import Database
    from backbone.settings import load_settings

    settings = load_settings()
    if settings.url.startswith("sqlite"):
        make_data_dir(settings)
    db = Database(settings.url)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def _keys_database() -> "Iterator[Database]":
    from services.app import prepare

    with _database() as db:
        prepare(db, [])
        yield db


def main() -> None:
    """The entry point: what is wrong with the set-up is one line, not a traceback."""
    try:
        app()
    except TouchlineError as error:
        _end(error.message)
    except BrokenPipeError:  # such as `touchline keys list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as the shell has it
    except OSError as error:  # a folder that is not ours, a disk that is full
        if error.strerror is None:
            raise
        _end(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  told here, but in words that quote nobody's data
        from backbone.redaction import trace

        typer.echo(trace(error), err=True)
        sys.exit(1)


def _end(message: str) -> NoReturn:
    from backbone.terminal_text import one_line

    typer.echo(f"touchline: {one_line(message)}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
