"""The options of `touchline import`. The rest is imported when it runs, as in `main.py`."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="Accounts or suppressions (CSV), or events (JSON, one a line).", metavar="FILE…"),
    ],
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Where a column goes, such as 'ARR=attributes.arr'; 'ARR=' leaves it out. May be given several times.",
            metavar="HEADER=PATH",
        ),
    ] = None,
    historical: Annotated[
        bool | None,
        typer.Option(
            "--historical/--live",
            help="Of the past: it is counted and fires no rules. Or of now. Events need one of the two; accounts are "
            "of now unless you say otherwise.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen to whom; send nothing.")
    ] = False,
    rules: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --dry-run: YAML files with the rules to judge by, or folders of them, in place of those on the "
            "server.",
            metavar="PATH",
        ),
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out columns that are no paths.")
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option(help="Of a CSV file that is not UTF-8, such as windows-1252.", metavar="NAME"),
    ] = None,
) -> None:
    """Take over accounts, suppressions and events from files. What was interrupted goes on when run again.

    Columns are paths: id, name, attributes.arr, owner.email, contact.id, contact.email. A table with a column address
    holds suppressions. Exit status 2: a file or an option is wrong and nothing was sent; 1: some lines were not taken.
    """
    from services.cli.imports import command

    options = command.Options(maps or [], historical, encoding, skip_unknown, dry_run, rules or [])
    raise typer.Exit(command.import_(files, options))
