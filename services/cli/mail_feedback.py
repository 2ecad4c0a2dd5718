"""`touchline mail-feedback`: hands a mail that came to the return path to Touchline.

Mail servers call it (`bounces: "|touchline mail-feedback"`). To them, any exit status but 75 is final: they would
answer a bounce with a bounce, so only what a later try can mend is said to be wrong.
"""

import sys
from typing import BinaryIO

from backbone.errors import TouchlineError
from services.cli.client import ApiError, Client

PATH = "/v1/mail/feedback/rfc3464"  # takes complaints (rfc5965) alike
LONGEST = 1_000_000  # bytes; what tells of the bounce stands before the mail that comes back with it
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


def mail_feedback(mail: BinaryIO) -> int:
    """Send the report; returns the exit status."""
    try:
        answer = Client().send(PATH, mail.read(LONGEST), "message/rfc822")
    except TouchlineError as error:
        refused = isinstance(error, ApiError) and error.status == 400
        sys.stderr.write(f"{error.message}\n")
        return 0 if refused else TRY_AGAIN
    sys.stdout.write(f"matched: {answer['matched']}, unknown: {answer['unknown']}\n")
    return 0
