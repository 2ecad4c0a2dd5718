"""What the API answers to reports about mails."""

from pydantic import Field

from schemas.answers import Answer


class FeedbackOut(Answer):
    """What became of the reports in a request."""

    matched: int = Field(
        description="How many are about a mail of ours. Delays and deliveries are among them, though nothing "
        "follows from them.",
        examples=[1],
    )
    unknown: int = Field(
        description="How many are about no mail of ours, or cannot be read. They take no others with them.",
        examples=[0],
    )
