"""Where the file queue is wired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from holdfast.common.loops import Loop
from holdfast.common.postgres import Database
from holdfast.common.service import Platform
from holdfast.common.wakeup import Signal
from holdfast.extractor.dispatch import Dispatcher
from holdfast.extractor.files.attaching import Attacher
from holdfast.extractor.files.rows import FileClaim, FileRows
from holdfast.extractor.files.worker import FileWorker
from holdfast.extractor.org import Orgs
from holdfast.extractor.patience import Patience
from holdfast.extractor.settings import ExtractorSettings

# A download under way stops this soon after a run of its org has begun.
LOOK_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True)
class FileRooms:
    """The parts of a running file queue."""

    worker: FileWorker
    fetchers: Dispatcher[FileClaim]
    attach: Signal
    loops: Sequence[Loop]


def open_files(platform: Platform, settings: ExtractorSettings, db: Database, orgs: Orgs) -> FileRooms:
    """Make the parts; nothing is fetched until the loops run."""
    scratch = settings.data / "extractor" / "files"
    attach_signal = Signal()
    worker = FileWorker(
        db=db,
        orgs=orgs,
        objects=platform.store,
        scratch=scratch,
        patience=Patience(
            first=settings.extractor_retry_first,
            passing=settings.extractor_patience,
        ),
        most_bytes=settings.extractor_file_bytes,
        settled=attach_signal.set,
    )
    rows = FileRows(
        db,
        platform.holder,
        settings.extractor_lease,
        settings.extractor_files_a_day,
        settings.extractor_file_bytes_a_day,
    )
    fetchers = Dispatcher(
        "files",
        rows,
        worker.fetch,
        slots=settings.extractor_files_at_once,
        lease=settings.extractor_lease,
        poll=settings.extractor_poll,
        clock=platform.clock,
    )
    attacher = Attacher(db, platform.store, scratch, settings.extractor_bodies_after)
    attaching = Loop("bodies", attacher.attach, attach_signal, settings.extractor_poll, platform.clock)
    looking = Loop("files-pause", worker.look, Signal(), LOOK_PAUSE, platform.clock)
    return FileRooms(worker, fetchers, attach_signal, [fetchers, attaching, looking])
