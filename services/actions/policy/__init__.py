"""The sending policy: when a mail to a contact may begin (contract, section 12). Pure.

`hours` knows the clocks of readers, `rules` the policy itself, and `turns` whose turn it is among mails that wait.
"""
