"""Who belongs where: Segment's users, and accounts that were merged. `placement` and `book` are pure."""
