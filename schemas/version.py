"""The version, in one place: the package, the command, the OpenAPI page and the chart take it from here."""

VERSION = "0.1.0"
