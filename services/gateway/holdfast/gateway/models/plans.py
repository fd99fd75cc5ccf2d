"""What the next run of a job would read, and what that costs."""

from __future__ import annotations

from pydantic import Field

from holdfast.common.rpc.extractor.v1 import extractor_pb2
from holdfast.gateway.models.base import Resource


class PlannedReading(Resource):
    """How one object would be read."""

    object: str = Field(examples=["Account"])
    mode: str = Field(description="`baseline`, `incremental` or `full`.", examples=["incremental"])
    strategy: str = Field(description="In words.", examples=["REST, asked with others"])
    rows: int = Field(
        description="About how many; of what changed, 0 also stands for up to a page of 2,000, which costs no more."
    )
    api_calls: int = Field(description="Of its own, beside what it asks together with other objects.")
    seconds: float


class SharedCalls(Resource):
    """What objects ask together: Salesforce charges such a request as one call."""

    what: str
    api_calls: int


class UnreadableObject(Resource):
    """An object of the job that cannot be read, and why."""

    object: str
    reason: str


class JobPlan(Resource):
    """What a run that began now would read. Files are fetched later, a call each, and are not part of it."""

    objects: list[PlannedReading]
    shared: list[SharedCalls]
    unreadable: list[UnreadableObject]
    rows: int
    api_calls: int = Field(description="Of all objects, with what they share.")
    seconds: float = Field(description="Objects are read side by side.")
    notes: list[str] = Field(description="What became of the org's objects and fields since the last run.")
    calls_left: int | None = Field(description="What the job may call now; null while the org's budget is not known.")
    calls_limit: int | None = Field(description="What the org allows in 24 hours.")
    plan_calls: int = Field(description="What this plan itself cost.")

    @classmethod
    def of(cls, found: extractor_pb2.PlanJobResponse) -> JobPlan:
        return cls(
            objects=[
                PlannedReading(
                    object=each.object,
                    mode=each.mode,
                    strategy=each.strategy,
                    rows=each.rows,
                    api_calls=each.api_calls,
                    seconds=round(each.seconds, 1),
                )
                for each in found.objects
            ],
            shared=[SharedCalls(what=each.what, api_calls=each.api_calls) for each in found.shared],
            unreadable=[UnreadableObject(object=each.object, reason=each.reason) for each in found.unreadable],
            rows=found.rows,
            api_calls=found.api_calls,
            seconds=round(found.seconds, 1),
            notes=list(found.notes),
            calls_left=found.calls_left if found.HasField("calls_left") else None,
            calls_limit=found.calls_limit if found.HasField("calls_limit") else None,
            plan_calls=found.plan_calls,
        )
