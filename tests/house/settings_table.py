"""Makes `docs/settings.md` from the settings: `python -m tests.house.settings_table > docs/settings.md`."""

from pydantic import SecretStr

from backbone.mail_settings import MailSettings
from backbone.setting_checks import PREFIX
from backbone.settings import Settings

HEAD = """\
# Settings

From the environment, or a `.env` file in the folder that Touchline is started in. Made by
`python -m tests.house.settings_table`; a house test keeps it true.

| setting | default | meaning |
|---|---|---|
"""
FOOT = """
`touchline apply` and `touchline export` look for these, in the same places:

| setting | default | meaning |
|---|---|---|
| `TOUCHLINE_URL` | `http://host:port` of the above, or `TOUCHLINE_PUBLIC_URL` | where Touchline answers; \
of services that run apart with no console before them, the addresses of rules and actions, separated by a comma |
| `TOUCHLINE_API_KEY` | `admin.key` in the data folder | the key to use |
"""
SHOWN = {"log_retention": "90d", "history_retention": "400d"}  # kept in microseconds internally


def table() -> str:
    """The whole page, in markdown."""
    rows = []
    mail = MailSettings.model_fields.keys()  # these last
    for name, field in sorted(Settings.model_fields.items(), key=lambda item: item[0] in mail):
        default = SHOWN.get(name, field.default)
        blank = default is None or default in ("", ()) or isinstance(default, SecretStr)
        shown = "" if blank else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description or ''} |")
    return HEAD + "\n".join(rows) + "\n" + FOOT


if __name__ == "__main__":
    print(table(), end="")
