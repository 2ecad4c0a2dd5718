"""What providers and mail servers send about one mail that came back, for the OpenAPI page."""

from typing import Any

_ACTION = "act_8c7c9d8a45d0e66598b16977d1"
_MAIL = f"""\
From: Mail Delivery Subsystem <MAILER-DAEMON@mx.acme.test>
To: bounces@us.test
Subject: %s
MIME-Version: 1.0
Content-Type: multipart/report; report-type=%s; boundary="part"

--part
Content-Type: text/plain

%s

--part
%s

--part
Content-Type: text/rfc822-headers

Message-ID: <{_ACTION}@us.test>
X-Touchline-Action: {_ACTION}

--part--
"""

EXAMPLES: dict[str, Any] = {
    "ses": {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:bounces",
        "Message": '{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"General",'
        '"timestamp":"2026-01-27T14:59:38.237Z"},"mail":{"headers":[{"name":"Message-ID",'
        f'"value":"<{_ACTION}@us.test>"}}]}}}}',
        "Timestamp": "2026-01-27T14:59:39.000Z",
        "SignatureVersion": "2",
        "Signature": "EXAMPLEw6JRN…",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
    },
    "sendgrid": [
        {
            "email": "ann@acme.test",
            "timestamp": 1769525978,
            "event": "bounce",
            "type": "bounce",
            "status": "5.0.0",
            "reason": "500 unknown recipient",
            "touchline": _ACTION,
        }
    ],
    "postmark": {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {"touchline": _ACTION},
        "Email": "ann@acme.test",
        "Description": "The server was unable to deliver your message (ex: unknown user).",
        "BouncedAt": "2026-01-27T14:59:38Z",
    },
    "mailgun": {
        "signature": {"timestamp": "1769525978", "token": "c3a6…", "signature": "d2271d12…"},
        "event-data": {
            "event": "failed",
            "severity": "permanent",
            "reason": "bounce",
            "timestamp": 1769525978.237,
            "recipient": "ann@acme.test",
            "user-variables": {"touchline": _ACTION},
            "delivery-status": {"code": 550, "message": "5.1.1 User unknown"},
        },
    },
    "rfc3464": _MAIL
    % (
        "Undelivered Mail Returned to Sender",
        "delivery-status",
        "Your mail could not be delivered.",
        (
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.acme.test\n\n"
            "Final-Recipient: rfc822; ann@acme.test\nAction: failed\nStatus: 5.1.1"
        ),
    ),
    "rfc5965": _MAIL
    % (
        "Abuse report",
        "feedback-report",
        "This mail was reported as spam.",
        "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: acme/1.0\nVersion: 1",
    ),
}
