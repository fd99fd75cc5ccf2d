"""Settings of the extractor. Each has a unit, a range and a reason for its default."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import Field

from holdfast.common.settings import Settings

Span = Annotated[timedelta, Gt(timedelta(0)), Le(timedelta(days=7))]


class ExtractorSettings(Settings):
    """How the extractor reads an org.

    Environment variables start with `HOLDFAST_EXTRACTOR_`; durations are ISO 8601, such as `PT15S`.
    """

    extractor_fetches: int = Field(default=4, ge=1, le=64)
    """Objects read at once. Four connections fill two cores; more only add memory."""

    extractor_transforms: int = Field(default=2, ge=1, le=64)
    """Pages parsed and written at once: one per core; a third one in flight gained nothing when measured."""

    extractor_pages_in_memory: int = Field(default=6, ge=1, le=256)
    """Pages downloaded and not yet written. Bounds memory: about 30 MB each at 10 MB a page."""

    extractor_plans: int = Field(default=4, ge=1, le=32)
    """Runs planned at once, so that one org that does not answer holds up nobody else."""

    extractor_describes: int = Field(default=4, ge=1, le=20)
    """Calls for describes of a run at once, each for 25 objects; an org takes 25 long requests at a time
    (5 in a developer org)."""

    extractor_bulk_threshold_rows: int = Field(default=2000, ge=1)
    """From this many rows on an object is read by Bulk 2.0: one REST page holds 2,000. With 6,000 a baseline of 13
    objects, two of them between the two, took 25 calls instead of 29 and as long, but runs without changes 13 instead
    of 9: only Bulk jobs tell the org's time, without which an object that was loaded in one go is read again. With
    10,000 a baseline of 121,000 records took 61 calls instead of 52."""

    extractor_page_bytes: int = Field(default=10_000_000, ge=100_000, le=200_000_000)
    """Aimed at size of one Bulk page: 10 MB keep memory flat and still fill the pipe."""

    extractor_overlap: Annotated[timedelta, Ge(timedelta(0)), Le(timedelta(days=7))] = timedelta(seconds=900)
    """How far an incremental read reaches back before its watermark: a transaction may commit up to ten
    minutes after the stamp it writes."""

    extractor_settled_after: Span = timedelta(hours=1)
    """Records stamped so long before a reading began are taken to have been visible to it: six times the
    longest transaction. Shorter marks save re-reading, longer ones guard against a slow org."""

    extractor_count_window: Span = timedelta(milliseconds=20)
    """How long the count of an object that has been read waits for others, to share one API call with them, while no
    other object of the org is being read."""

    extractor_count_patience: Span = timedelta(seconds=2)
    """How long it waits while others are. Five counts share a call; a baseline of 13 objects made 15 calls for its
    counts when each waited 20 ms, and makes 4 when they wait for each other."""

    extractor_files_at_once: int = Field(default=2, ge=1, le=32)
    """Files fetched at once, while no records of their org are read. Each is a connection of its own."""

    extractor_files_a_day: int = Field(default=50_000, ge=1)
    """Calls for files per org and day; what is left goes on the next day. A file costs one call, and an org of 100
    users may make 200,000 a day for everything."""

    extractor_file_bytes_a_day: int = Field(default=500_000_000_000, ge=1)
    """Bytes of files per org and day."""

    extractor_file_bytes: int = Field(default=2_200_000_000, ge=1, le=100_000_000_000)
    """Larger bodies are listed as failed: Salesforce takes 2 GB at most."""

    extractor_bodies_after: Span = timedelta(seconds=30)
    """How long a stored body waits for others before a page of the vault says so; each page is a commit."""

    extractor_scan_every: Annotated[timedelta, Gt(timedelta(0)), Le(timedelta(days=366))] = timedelta(days=7)
    """Each object is read whole so often, on a day of its own: formulas change without a stamp."""

    extractor_census_every: Annotated[timedelta, Gt(timedelta(0)), Le(timedelta(days=366))] = timedelta(days=7)
    """All ids of each object are listed so often by a query of its own, half-way between two full scans: a second
    witness that nothing is missing."""

    extractor_census_up_to_percent: int = Field(default=50, ge=0, le=100)
    """Scheduled censuses are put off to a later run while more than this share of the org's daily calls is used."""

    extractor_lease: Span = timedelta(seconds=15)
    """How long a dead worker's object stays untouched. A third of it is the heartbeat."""

    extractor_poll: Span = timedelta(seconds=1)
    """How often loops look for work that nobody woke them for, such as a retry that is due."""

    extractor_job_poll_first: Span = timedelta(milliseconds=50)
    """First pause before a Bulk job is asked for its state; doubles each time. Every poll is an API call."""

    extractor_job_poll_longest: Span = timedelta(seconds=5)
    """Longest pause between two polls of a Bulk job."""

    extractor_job_stuck_after: Span = timedelta(minutes=30)
    """A Bulk job whose state and row count stand still for so long is given up: Salesforce itself ends a query
    after minutes, but may queue jobs for longer when the org is busy."""

    extractor_parallel_from_pages: int = Field(default=4, ge=2)
    """From so many pages on a result is listed and its pages are fetched side by side; the list costs a call per
    five pages, which few pages do not win back."""

    extractor_pages_ahead: int = Field(default=5, ge=0, le=32)
    """Pages fetched before their turn, all objects together: what one connection cannot carry, six can. As many, and
    the one whose turn it is, are on their way or not durable yet: more a killed extractor does not fetch again."""

    extractor_bytes_ahead: int = Field(default=64_000_000, ge=1_000_000)
    """Bytes that the pages of one object on their way, or not durable yet, may have: Salesforce chooses the size of
    listed pages."""

    extractor_retry_first: Span = timedelta(seconds=1)
    """First pause after a passing failure; doubles each time, up to a minute."""

    extractor_patience: Span = timedelta(minutes=10)
    """How long an object or a plan may fail for passing reasons without any progress."""
