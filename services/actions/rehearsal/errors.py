"""What a rehearsal refuses to go on with."""

MAX_ACTIONS = 1_000_000  # of one partition; each is kept until it is counted


class TooManyActions(Exception):
    """The playbook makes more actions over these triggers than are kept."""

    def __init__(self) -> None:
        super().__init__(f"the plays make more than {MAX_ACTIONS:,} actions; rehearse fewer triggers")
