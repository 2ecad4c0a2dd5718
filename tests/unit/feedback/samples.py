"""What providers and mail servers send, in the shape of their own documentation, about the mail of one action.

Each sample names its source.
"""

import copy
import json
from typing import Any

ACTION = "act_8c7c9d8a45d0e66598b16977d1"
MESSAGE_ID = f"<{ACTION}@us.test>"
BOUNCED_AT = 1_453_906_778_237_000  # 2016-01-27T14:59:38.237Z

# https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html (mail object, with the original headers)
SES_MAIL: dict[str, Any] = {
    "timestamp": "2016-01-27T14:59:38.237Z",
    "messageId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa0680-000000",
    "source": "bounces@us.test",
    "sourceArn": "arn:aws:ses:us-east-1:888888888888:identity/us.test",
    "sourceIp": "127.0.3.0",
    "sendingAccountId": "123456789012",
    "destination": ["ann@acme.test"],
    "headersTruncated": False,
    "headers": [
        {"name": "From", "value": '"Jo Doe" <jo@us.test>'},
        {"name": "To", "value": "ann@acme.test"},
        {"name": "Message-ID", "value": MESSAGE_ID},
        {"name": "Subject", "value": "Hello"},
        {"name": "Date", "value": "Wed, 27 Jan 2016 14:05:45 +0000"},
    ],
    "commonHeaders": {"from": ["Jo Doe <jo@us.test>"], "messageId": MESSAGE_ID, "subject": "Hello"},
}
# https://docs.aws.amazon.com/ses/latest/dg/notification-examples.html (bounce with a DSN)
SES_BOUNCE: dict[str, Any] = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "reportingMTA": "dns; email.example.com",
        "bouncedRecipients": [
            {
                "emailAddress": "ann@acme.test",
                "status": "5.1.1",
                "action": "failed",
                "diagnosticCode": "smtp; 550 5.1.1 <ann@acme.test>... User unknown",
            }
        ],
        "timestamp": "2016-01-27T14:59:38.237Z",
        "feedbackId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa068a-000000",
        "remoteMtaIp": "127.0.2.0",
    },
    "mail": SES_MAIL,
}
# https://docs.aws.amazon.com/ses/latest/dg/notification-examples.html (complaint with a feedback report)
SES_COMPLAINT: dict[str, Any] = {
    "notificationType": "Complaint",
    "complaint": {
        "userAgent": "AnyCompany Feedback Loop (V0.01)",
        "complainedRecipients": [{"emailAddress": "ann@acme.test"}],
        "complaintFeedbackType": "abuse",
        "arrivalDate": "2016-01-27T14:59:38.237Z",
        "timestamp": "2016-01-27T14:59:38.237Z",
        "feedbackId": "000001378603177f-18c07c78-fa81-4a58-9dd1-fedc3cb8f49a-000000",
    },
    "mail": SES_MAIL,
}
# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html (bounce record: the headers
# hold no Message-ID, the tags are those of X-SES-MESSAGE-TAGS)
SES_EVENT: dict[str, Any] = {
    "eventType": "Bounce",
    "bounce": SES_BOUNCE["bounce"],
    "mail": {
        **SES_MAIL,
        "headers": [{"name": "Subject", "value": "Hello"}],
        "commonHeaders": {"messageId": "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000"},
        "tags": {"ses:configuration-set": ["ConfigSet"], "touchline": [ACTION]},
    },
}
# https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html
SNS: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
    "Timestamp": "2012-05-02T00:54:06.655Z",
    "SignatureVersion": "1",
    "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
    "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-west-2:1",
}
# https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html
SNS_CONFIRMATION: dict[str, Any] = {
    **{name: value for name, value in SNS.items() if name != "UnsubscribeURL"},
    "Type": "SubscriptionConfirmation",
    "Token": "2336412f37",
    "Message": "You have chosen to subscribe to the topic.\nTo confirm the subscription, visit the SubscribeURL.",
    "SubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription"
    "&TopicArn=arn:aws:sns:us-west-2:123456789012:MyTopic&Token=2336412f37",
}
# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event (and unique arguments:
# https://www.twilio.com/docs/sendgrid/for-developers/sending-email/unique-arguments)
SENDGRID_BOUNCE: dict[str, Any] = {
    "email": "ann@acme.test",
    "timestamp": 1513299569,
    "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
    "bounce_classification": "Invalid Address",
    "event": "bounce",
    "category": "cat facts",
    "sg_event_id": "6g4ZI7SA-xmRDv57GoPIPw==",
    "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
    "reason": "500 unknown recipient",
    "status": "5.0.0",
    "type": "bounce",
    "touchline": ACTION,
}
SENDGRID_COMPLAINT: dict[str, Any] = {
    "email": "ann@acme.test",
    "timestamp": 1513299569,
    "smtp-id": MESSAGE_ID,
    "event": "spamreport",
    "sg_event_id": "37nvH5QBz858KGVYCM4uOA==",
    "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
}
# https://postmarkapp.com/developer/webhooks/bounce-webhook
POSTMARK_BOUNCE: dict[str, Any] = {
    "RecordType": "Bounce",
    "MessageStream": "outbound",
    "ID": 4323372036854775807,
    "Type": "HardBounce",
    "TypeCode": 1,
    "Name": "Hard bounce",
    "Tag": "Test",
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "ServerID": 23,
    "Metadata": {"touchline": ACTION},
    "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
    "Details": "Test bounce details",
    "Email": "ann@acme.test",
    "From": "jo@us.test",
    "BouncedAt": "2019-11-05T16:33:54.9070259Z",
    "DumpAvailable": True,
    "Inactive": True,
    "CanActivate": True,
    "Subject": "Test subject",
}
# https://postmarkapp.com/developer/webhooks/spam-complaint-webhook
POSTMARK_COMPLAINT: dict[str, Any] = {
    **POSTMARK_BOUNCE,
    "RecordType": "SpamComplaint",
    "Type": "SpamComplaint",
    "TypeCode": 100001,
    "Name": "Spam complaint",
}
# https://postmarkapp.com/developer/webhooks/subscription-change-webhook
POSTMARK_CHANGE: dict[str, Any] = {
    "RecordType": "SubscriptionChange",
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "ServerID": 23,
    "MessageStream": "outbound",
    "ChangedAt": "2020-02-01T10:53:34.416071Z",
    "Recipient": "ann@acme.test",
    "Origin": "Recipient",
    "SuppressSending": True,
    "SuppressionReason": "HardBounce",
    "Metadata": {"touchline": ACTION},
}
# https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads (permanent failure)
MAILGUN_FAILED: dict[str, Any] = {
    "signature": {
        "timestamp": "1529006854",
        "token": "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f",
        "signature": "",
    },
    "event-data": {
        "severity": "permanent",
        "tags": [],
        "timestamp": 1521233195.375624,
        "log-level": "error",
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "event": "failed",
        "reason": "suppress-bounce",
        "recipient": "ann@acme.test",
        "recipient-domain": "acme.test",
        "user-variables": {"touchline": ACTION},
        "flags": {
            "is-routed": False,
            "is-authenticated": True,
            "is-system-test": False,
            "is-test-mode": False,
        },
        "delivery-status": {
            "attempt-no": 1,
            "message": "",
            "code": 605,
            "description": "Not delivering to previously bounced address",
            "session-seconds": 0.0,
        },
        "message": {
            "headers": {
                "to": "ann@acme.test",
                "message-id": "20130503192659.13651.20287@us.test",
                "from": "jo@us.test",
                "subject": "Hello",
            },
            "attachments": [],
            "size": 111,
        },
    },
}

RETURNED = f"""\
From: Jo Doe <jo@us.test>
To: ann@acme.test
Subject: Hello
Message-ID: {MESSAGE_ID}
X-Touchline-Action: {ACTION}
"""
# RFC 3464, appendix E.1
DSN = """\
Date: Thu, 7 Jul 1994 17:16:05 -0400
From: Mail Delivery Subsystem <MAILER-DAEMON@mx.acme.test>
Message-Id: <199407072116.RAA14128@mx.acme.test>
Subject: Returned mail: Cannot send message for 5 days
To: bounces@us.test
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
      boundary="RAA14128.773615765/MX.ACME.TEST"

--RAA14128.773615765/MX.ACME.TEST

The original message was received at Sat, 2 Jul 1994 17:10:28 -0400

--RAA14128.773615765/MX.ACME.TEST
content-type: message/delivery-status

Reporting-MTA: dns; mx.acme.test

Original-Recipient: rfc822;ann@acme.test
Final-Recipient: rfc822;ann@acme.test
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}
Last-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400

--RAA14128.773615765/MX.ACME.TEST
content-type: {returned_as}

{returned}
--RAA14128.773615765/MX.ACME.TEST--
"""
# RFC 5965, appendix B.2
ARF = """\
From: <abusedesk@provider.test>
Date: Thu, 8 Mar 2005 17:40:36 EDT
Subject: FW: Earn money
To: <bounces@us.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
      boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message received from IP 192.0.2.1.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: {type}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <bounces@us.test>
Original-Rcpt-To: <ann@acme.test>
Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT
Source-IP: 192.0.2.1

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

{returned}

Spam Spam Spam
--part1_13d.2e68ed54_boundary--
"""


def dsn(
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "550 No such user",
    returned_as: str = "message/rfc822",
    returned: str = RETURNED,
) -> bytes:
    """A delivery status notification."""
    filled = DSN.format(action=action, status=status, said=said, returned_as=returned_as, returned=returned)
    return filled.replace("\n", "\r\n").encode()


def arf(type_: str = "abuse", returned: str = RETURNED) -> bytes:
    """A complaint."""
    return ARF.format(type=type_, returned=returned).replace("\n", "\r\n").encode()


def changed(sample: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A copy with other values; `a__b` is a field of a field, None removes it."""
    made = copy.deepcopy(sample)
    for name, value in values.items():
        *path, last = name.replace("_0_", "-").split("__")
        place = made
        for step in path:
            place = place[step]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return made


def about(sample: Any, action: str) -> Any:
    """The sample, about another action."""
    return json.loads(json.dumps(sample).replace(ACTION, action))
