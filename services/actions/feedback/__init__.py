"""What comes back of our mails: bounces and complaints, as providers and mail servers report them.

One file for each format reads reports from a body: `ses`, `sendgrid`, `postmark`, `mailgun`, `report_mail` (RFC 3464
and RFC 5965). `signatures` and `sns` say whether a provider sent it. `storage/mail_reports.py` writes what follows.
"""
