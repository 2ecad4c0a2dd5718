"""The routes of rules: rules, tiers, accounts, triggers, explanations."""
