"""How people name a run: its id, `latest`, `JOB#3`, `JOB 3`, or `JOB` for the job's latest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from holdfast.launcher.commands.failure import CommandError, ExitCode
from holdfast.launcher.commands.session import path

if TYPE_CHECKING:
    from holdfast.launcher.commands.api import Api

LATEST = "latest"
RUN_HELP = "Run: an id, 'latest', JOB#3, JOB 3, or JOB for its latest."


def resolve_run(api: Api, words: list[str]) -> tuple[str, list[str]]:
    """The id of the run that the first word or two name, and the words that are left.

    Raises:
        CommandError: REFUSED: there is no such run.
    """
    first, rest = words[0], words[1:]
    if _is_id(first):
        return first, rest
    if first == LATEST:
        return _latest(api, path("runs"), "There are no runs yet. Start one with 'holdfast job run JOB'."), rest
    job, hash_sign, number = first.rpartition("#")
    if not hash_sign:
        job, number = first, LATEST
        if rest and rest[0].isdecimal():
            number, rest = rest[0], rest[1:]
    return _of_job(api, job, number), rest


def _of_job(api: Api, job: str, number: str) -> str:
    if number == LATEST:
        sentence = f"The job '{job}' has no runs yet. Start one with 'holdfast job run {job}'."
        return _latest(api, path("jobs", job, "runs"), sentence)
    if not number.isdecimal():
        raise CommandError(f"'{number}' is not the number of a run; write for example {job}#1.", ExitCode.USAGE)
    for run in api.items(path("jobs", job, "runs")):
        if run["number"] == int(number):
            return str(run["id"])
        if run["number"] < int(number):
            break
    raise CommandError(f"The job '{job}' has no run {number}. See 'holdfast runs list'.", ExitCode.REFUSED)


def _latest(api: Api, listing: str, sentence: str) -> str:
    for run in api.items(listing, limit=1):
        return str(run["id"])
    raise CommandError(sentence, ExitCode.REFUSED)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def job_names(api: Api) -> dict[str, str]:
    """Names of all jobs by id."""
    return {job["id"]: job["name"] for job in api.items(path("jobs"))}


def only_job(api: Api) -> dict[str, Any]:
    """The one job there is.

    Raises:
        CommandError: USAGE: there are several, and one must be named; REFUSED: there is none.
    """
    jobs = list(api.items(path("jobs")))
    if not jobs:
        raise CommandError("There are no jobs yet. Create one with 'holdfast job create'.", ExitCode.REFUSED)
    if len(jobs) > 1:
        offer = ", ".join(job["name"] for job in jobs)
        raise CommandError(f"There are several jobs; name one: {offer}.", ExitCode.USAGE)
    found: dict[str, Any] = jobs[0]
    return found
