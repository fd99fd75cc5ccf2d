"""When a job is due: five-field cron expressions in a time zone.

Across daylight saving a fixed time that does not exist fires once right after the jump, and one that occurs
twice fires once; `cronsim` follows Debian's cron in this.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from holdfast.common.errors import HoldfastError, Kind

_FIELDS = 5


def check_schedule(cron: str, time_zone: str, now: datetime) -> None:
    """Refuse a schedule that could never fire.

    Args:
        cron: Five fields, or empty for a job that runs only when asked.
        time_zone: IANA name, such as `Europe/Berlin`.
        now: From when on it has to fire at least once.

    Raises:
        HoldfastError: INVALID, with the field `cron` or `time_zone`.
    """
    zone(time_zone)
    if not cron:
        return
    if len(cron.split()) != _FIELDS:
        raise _bad_cron(cron, "it needs five fields: minute, hour, day of month, month, day of week")
    try:
        CronSim(cron, now)
    except CronSimError as error:
        raise _bad_cron(cron, str(error)) from error
    if next_slot(cron, time_zone, now) is None:
        raise _bad_cron(cron, "it never fires")


def next_slot(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """The first time after `after` at which the job is due, in UTC; None when it never is again."""
    if not cron:
        return None
    try:
        slot: datetime = next(CronSim(cron, after.astimezone(zone(time_zone))))
    except StopIteration:
        return None
    return slot.astimezone(UTC)


def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name.

    Raises:
        HoldfastError: INVALID, field `time_zone`; also for names that are no plain zone, such as a path.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise HoldfastError(
            Kind.INVALID,
            f"{name!r} is not a time zone. Use an IANA name such as Europe/Berlin or UTC.",
            code="bad-time-zone",
            field="time_zone",
        ) from error


def _bad_cron(cron: str, why: str) -> HoldfastError:
    return HoldfastError(Kind.INVALID, f"{cron!r} is not a schedule: {why}.", code="bad-schedule", field="cron")
