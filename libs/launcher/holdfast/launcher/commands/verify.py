"""`holdfast verify`: does the vault still hold what was written?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import ExitCode
from holdfast.launcher.commands.options import DEFAULT_DATA, ApiAddress, Data, Json
from holdfast.launcher.commands.progress import follow_verification
from holdfast.launcher.commands.session import open_api, path

if TYPE_CHECKING:
    from holdfast.launcher.commands.api import Api


def verify(
    job: Annotated[str, typer.Argument(help="Name or id of a job; default: every job.")] = "",
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Read every file again and prove it unaltered.

    Holds each against what was written and the hash chain, and the signed proof of each object and run against both.
    Exit code 1 if anything is damaged, missing or contradicts itself.
    """
    with open_api(api, data) as found:
        jobs = [{"id": job, "name": job}] if job else list(found.items("/v1/jobs"))
        results = [_verify_one(found, each, as_json) for each in jobs]
    if as_json:
        output.print_json(results)
    elif not jobs:
        output.say("There are no jobs yet, so there is nothing to verify.")
    if any(each["state"] != "intact" for each in results):
        raise typer.Exit(ExitCode.NOT_WHOLE)


def _verify_one(api: Api, job: dict[str, Any], as_json: bool) -> dict[str, Any]:
    started = api.post(path("jobs", job["id"], "verifications"))
    found = follow_verification(api, started["id"], as_json=as_json)
    if not as_json:
        _tell(job["name"], found)
    return found


def _tell(name: str, found: dict[str, Any]) -> None:
    read = f"{found['files_done']:,} files, {output.size(found['bytes_done'])}, {found['objects']} objects"
    if found.get("proofs"):
        read += f", {found['proofs']:,} proofs"
    if found["state"] == "intact" and not found["files_done"]:
        output.say(output.visible(f"The vault of '{name}' is still empty: no run has written to it."))
    elif found["state"] == "intact":
        output.say(output.visible(f"The vault of '{name}' is intact: {read}."))
    elif found["state"] == "damaged":
        output.say(output.visible(f"The vault of '{name}' is DAMAGED in {len(found['damage'])} places ({read}):"))
        for each in found["damage"]:
            output.say(output.visible(f"  {each['path']}: {each['reason']}"))
    else:
        output.say(output.visible(f"'{name}' could not be verified: {found['reason']}"))
