"""Views of triggers and accounts for programs that read SQL: PostgreSQL only."""

from backbone.migrations.reporting import drop_json, drop_view, jsonb, make_schema, make_view, moment

revision = "r017"
down_revision = "r016"

TRIGGERS = f"""
SELECT t.id, t.rule, (d.doc ->> 'rule_version')::integer AS rule_version, t.account, d.doc ->> 'contact' AS contact,
  d.doc ->> 'key' AS key, t.tier, {moment("t.at")} AS at, d.doc ->> 'event_id' AS event_id,
  nullif(d.doc -> 'event', 'null') AS event, (d.doc ->> 'value')::numeric AS value,
  (d.doc ->> 'value_exact')::boolean AS value_exact, nullif(d.doc -> 'window', 'null') AS "window",
  d.doc ->> 'threshold' AS threshold, d.doc ->> 'reason' AS reason, d.doc ->> 'playbook' AS playbook,
  d.doc -> 'evidence' AS evidence, d.doc -> 'position' AS position, nullif(d.doc -> 'figures', 'null') AS figures,
  coalesce((d.doc ->> 'shadow')::boolean, false) AS shadow, coalesce((d.doc ->> 'depth')::integer, 0) AS depth,
  coalesce(d.doc ->> 'scope', 'account') AS scope
FROM rules.rules_triggers t CROSS JOIN LATERAL (SELECT {jsonb("t.doc")} AS doc OFFSET 0) d
"""  # noqa: S608 - our own names
ACCOUNTS = f"""
SELECT r.account AS id, d.doc ->> 'name' AS name, d.doc ->> 'tier' AS tier, d.doc ->> 'tier_reason' AS tier_reason,
  nullif(d.doc -> 'owner', 'null') AS owner, d.doc ->> 'timezone' AS timezone, d.doc -> 'domains' AS domains,
  d.doc -> 'external_ids' AS external_ids, d.doc -> 'attributes' AS attributes, d.doc -> 'contacts' AS contacts,
  {moment("r.first_event_at")} AS first_event_at, {moment("r.last_event_at")} AS last_event_at,
  d.doc ->> 'merged_into' AS merged_into
FROM rules.rules_account_rows r CROSS JOIN LATERAL (SELECT {jsonb("r.doc")} AS doc OFFSET 0) d
"""  # noqa: S608 - our own names


def upgrade() -> None:
    """Make the views."""
    make_schema(reads_json=True)
    make_view(
        "triggers", TRIGGERS, "Every trigger that is kept. The columns are the fields of GET /v1/triggers."
    )
    make_view("accounts", ACCOUNTS, "Every account. The columns are the fields of GET /v1/accounts.")


def downgrade() -> None:
    """Drop them."""
    drop_view("triggers")
    drop_view("accounts")
    drop_json()
