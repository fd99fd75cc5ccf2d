"""Every durable step of the file queue, so that each can be killed before and after in a test."""

from __future__ import annotations

from holdfast.common.failpoints import durable_step

# Claiming, renewing, postponing and giving back a file: nothing but who works on it and when.
FILE_LEASED = durable_step("extractor.file_leased")
BLOB_STORED = durable_step("extractor.blob_stored")
FILE_SETTLED = durable_step("extractor.file_settled")
BODIES_GATHERED = durable_step("extractor.bodies_gathered")
BODIES_STORED = durable_step("extractor.bodies_stored")
FILES_SETTLED = durable_step("extractor.files_settled")
# The differ gave a page of bodies up: its files are missing; then they are attached or fetched again.
BODIES_LOST = durable_step("extractor.bodies_lost")
BODIES_SET_BACK = durable_step("extractor.bodies_set_back")
BODIES_ANNOUNCED = durable_step("extractor.bodies_announced")
