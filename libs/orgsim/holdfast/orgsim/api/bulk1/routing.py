"""What every Bulk 1.0 call goes through: version, session header, daily limit, and errors in its own shape."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from holdfast.orgsim.api.bulk1.formats import error_reply, wants_json
from holdfast.orgsim.api.bulk1.model import Batch, BulkError, Job
from holdfast.orgsim.api.intake import is_supported
from holdfast.orgsim.api.web import Call, Handler, Reply, Router
from holdfast.orgsim.errors import ApiError

PREFIX = "/services/async/{api_version}/job"
_CODES = {"INVALID_SESSION_ID": "InvalidSessionId", "REQUEST_LIMIT_EXCEEDED": "ExceededQuota",
          "EXCEEDEDQUOTA": "ExceededQuota", "FEATURENOTENABLED": "FeatureNotEnabled",
          "INVALIDENTITY": "InvalidEntity"}  # fmt: skip
UNEXPECTED = ApiError(500, "Unknown", "An unexpected error occurred.")
logger = logging.getLogger(__name__)

Endpoint = Callable[[Call], Awaitable[Reply]]


class BulkRouter(Router):
    """Routes below `/services/async/XX.X/job`. The session comes in `X-SFDC-Session`, so the app checks none."""

    def __init__(self) -> None:
        super().__init__(PREFIX)

    def on(self, method: str, template: str) -> Callable[[Endpoint], Endpoint]:
        """Register an endpoint that is called once version, session and limit are checked."""

        def register(endpoint: Endpoint) -> Endpoint:
            self.add(method, template, authenticated=False, counted=False)(_guarded(endpoint))
            return endpoint

        return register


def _guarded(endpoint: Endpoint) -> Handler:
    async def handler(call: Call) -> Reply:
        try:
            _enter(call)
            return await endpoint(call)
        except ApiError as error:
            return error_reply(_as_bulk(error), as_json=sends_json(call))
        except Exception:
            logger.exception("%s %s", call.method, call.path)
            return error_reply(UNEXPECTED, as_json=sends_json(call))

    return handler


def _enter(call: Call) -> None:
    version = call.params["api_version"]
    if not is_supported(version):
        raise BulkError("InvalidVersion", f"Api version {version} is not supported")
    now = call.org.clock.now()
    call.session = call.org.sessions.use(call.headers.get("x-sfdc-session", ""), now)
    call.org.accounting.charge(now)


def _as_bulk(error: ApiError) -> ApiError:
    if isinstance(error, BulkError):
        return error
    message = "Invalid session id" if error.code == "INVALID_SESSION_ID" else error.message
    return BulkError(_CODES.get(error.code, "ClientInputError"), message)


def sends_json(call: Call) -> bool:
    """Whether the request says that it speaks JSON."""
    return wants_json(call.headers.get("content-type", ""))


def find_job(call: Call) -> Job:
    """The job that the path names."""
    return call.org.bulk1_jobs.get(call.params["job_id"], call.user.id, call.org.clock.now())


def find_batch(call: Call) -> tuple[Job, Batch]:
    """The batch that the path names, and its job.

    Raises:
        BulkError: InvalidJob or InvalidBatch.
    """
    job = find_job(call)
    batch = job.batches.get(call.params["batch_id"])
    if batch is None:
        raise BulkError("InvalidBatch", f"Invalid batch id: {call.params['batch_id']}")
    return job, batch
