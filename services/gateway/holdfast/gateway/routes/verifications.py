"""/v1/verifications and /v1/jobs/{job}/verifications"""

from __future__ import annotations

from fastapi import APIRouter, Response

from holdfast.gateway.context import CommandKey, Ctx
from holdfast.gateway.inputs import JobRef, VerificationRef
from holdfast.gateway.models.verifications import StartVerification, Verification

router = APIRouter(prefix="/v1", tags=["verifications"])


@router.post("/jobs/{job}/verifications", status_code=202, operation_id="startVerification")
async def start_verification(
    job: JobRef, context: Ctx, key: CommandKey, response: Response, command: StartVerification | None = None
) -> Verification:
    """Read every file of a job again, against what was written. `Location` says where to follow it.

    While a verification of the job is running, that one is returned.
    """
    found = await context.backends.job(job)
    started = context.verifications.start(found.id, key)
    response.headers["Location"] = f"/v1/verifications/{started.id}"
    return started


@router.get("/verifications/{verification}", operation_id="getVerification")
async def get_verification(verification: VerificationRef, context: Ctx) -> Verification:
    """One verification, running or ended."""
    return context.verifications.get(verification)
