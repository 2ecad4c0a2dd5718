"""`/docs`: the API as a page to read and try out, built only from our own files."""

from html import escape

from fastapi.responses import HTMLResponse

from backbone.web.assets import url_of

# Swagger UI uses images inside its style sheet, and sends requests only to us.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. <a href="openapi.json">openapi.json</a> says the same.</noscript>
<script src="{bundle}"></script>
<script src="{start}"></script>
</body>
</html>
"""


def docs_page(title: str) -> HTMLResponse:
    """The page. Its addresses are relative, so that it also works below a proxy's path."""
    page = _PAGE.format(
        title=escape(title),
        style=url_of("swagger-ui/swagger-ui.css"),
        bundle=url_of("swagger-ui/swagger-ui-bundle.js"),
        start=url_of("docs.js"),
    )
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(page, headers=headers)
