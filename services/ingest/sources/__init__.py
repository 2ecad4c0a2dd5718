"""One file per event format. A new one: write the file, add a line to `SOURCES`, add a test."""

from services.ingest.sources import cloudevents, native
from services.ingest.sources.base import Source

# What `POST /v1/events` reads. Segment's calls come to routes of their own, see `segment`.
SOURCES: dict[str, Source] = {
    "native": native.decode,
    "cloudevents": cloudevents.decode,
}
