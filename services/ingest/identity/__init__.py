"""Which account a call or event belongs to: Segment's users, and accounts that were merged. `placement` and
`book` are pure."""
