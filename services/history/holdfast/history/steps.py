"""History's durable steps: each of its commits, by name."""

from __future__ import annotations

from holdfast.common.failpoints import durable_step

JOB_KNOWN = durable_step("history.job_known")
RUN_KNOWN = durable_step("history.run_known")
RUN_COMPLETED = durable_step("history.run_completed")
RUN_PARTIAL = durable_step("history.run_partial")
RUN_FAILED = durable_step("history.run_failed")
PAGE_ADDED = durable_step("history.page_added")
OBJECT_COMPLETED = durable_step("history.object_completed")
VERIFIED = durable_step("history.integrity_verified")
RUN_CANCELLED = durable_step("history.run_cancelled")
