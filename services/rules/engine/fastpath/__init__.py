"""What makes the engine fast: generated handlers, shared series, the slack of a rule. Pure. See docs/fast-path.md.

What the rest of the engine uses, and no more (a test holds this list):

- `codegen`: `Handler`, `handlers_for`
- `rule_group`: `Thresholds`, `layout_of`
- `shared_series`: `EMPTY`, `Layout`, `Row`, `SharedSeries`, `StoredSeries`, `bits`, `drop_old`, `from_stored`,
  `newest_of_each`, `refit`, `series_of`, `to_stored`
- `slack`: `put_late`

They are imported from their files: an account's state is made of shared series, and all the others are made of states
and rules, so one import of everything would go in a circle. Files import downwards only: `codegen`, `slack`,
`rule_group`, `shared_series`.
"""
