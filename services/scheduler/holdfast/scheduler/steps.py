"""The scheduler's durable steps: each of its commits, by name."""

from __future__ import annotations

from holdfast.common.failpoints import durable_step

JOB_CREATED = durable_step("scheduler.job_created")
RUN_REQUESTED = durable_step("scheduler.run_requested")
JOB_CHANGED = durable_step("scheduler.job_changed")
# Paused, resumed or cancelled by order.
RUN_ORDERED = durable_step("scheduler.run_ordered")
SLOT_FIRED = durable_step("scheduler.slot_fired")
PLAN_FOLDED = durable_step("scheduler.plan_folded")
REFUSAL_FOLDED = durable_step("scheduler.refusal_folded")
READ_NOTED = durable_step("scheduler.read_noted")
LOSS_FOLDED = durable_step("scheduler.loss_folded")
DIFF_FOLDED = durable_step("scheduler.diff_folded")
FILES_NOTED = durable_step("scheduler.files_noted")
GIVING_UP_FOLDED = durable_step("scheduler.giving_up_folded")
