"""The house rules, as tests: file sizes, purity, the direction of imports, complete registers and documents."""
