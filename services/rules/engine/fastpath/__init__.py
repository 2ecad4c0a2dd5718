"""Makes the engine fast: generated handlers, shared series, the slack of a rule. Pure. See docs/fast-path.md.

The rest of the engine uses these names and no others (a test checks the list):

- `codegen`: `Handler`, `handlers_for`
- `rule_group`: `Thresholds`, `layout_of`
- `shared_series`: `EMPTY`, `Layout`, `Row`, `SharedSeries`, `StoredSeries`, `bits`, `drop_old`, `from_stored`,
  `newest_of_each`, `refit`, `series_of`, `to_stored`
- `slack`: `put_late`

They are imported from their own files. An account's state is made of shared series, and the other files need states
and rules, so importing everything here would make a circle. Files import only those after them in this order:
`codegen`, `slack`, `rule_group`, `shared_series`.
"""
