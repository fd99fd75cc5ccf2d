"""Every durable step of the extractor, so that each can be killed before and after in a test."""

from __future__ import annotations

from holdfast.common.failpoints import durable_step

RUN_RECEIVED = durable_step("extractor.run_received")
# Paused, resumed or cancelled by order.
RUN_ORDERED = durable_step("extractor.run_ordered")
# A Bulk job of a cancelled run: about to be stopped in the org, and stopped.
ABORT_WRITTEN = durable_step("extractor.abort_written")
RUN_PLANNED = durable_step("extractor.run_planned")
# Claiming, renewing, postponing and giving back a row: nothing but who works on it and when.
LEASE_WRITTEN = durable_step("extractor.lease_written")
SCHEMA_STORED = durable_step("extractor.schema_stored")
READING_MOVED = durable_step("extractor.reading_moved")
PAGE_STORED = durable_step("extractor.page_stored")
PAGE_RECORDED = durable_step("extractor.page_recorded")
OBJECT_CLOSED = durable_step("extractor.object_closed")
# The differ gave an object of a run up: what was read of it is not in the vault.
LOSS_NOTED = durable_step("extractor.loss_noted")
DEFINITIONS_KEPT = durable_step("extractor.definitions_kept")
# The differ doubts what was read of an object: one more pass begins.
PASS_BEGUN = durable_step("extractor.pass_begun")
# A pass goes on with its next part: the list of deleted records, or that of the living ones.
PART_BEGUN = durable_step("extractor.part_begun")
# The vault does not agree with the org: the next run reads the object whole.
MISMATCH_NOTED = durable_step("extractor.mismatch_noted")
