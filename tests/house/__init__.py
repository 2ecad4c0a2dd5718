"""The house rules, as tests: sizes, purity, one direction of imports, nothing forgotten."""
