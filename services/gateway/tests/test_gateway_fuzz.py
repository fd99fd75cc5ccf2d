"""Random requests made from the OpenAPI document: none breaks the gateway, every answer is as documented."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


def test_random_requests_are_answered_as_documented(world):
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", world.app)
    authorization = {"Authorization": f"Bearer {world.token}"}
    statuses: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=6, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def check(case):
            answer = case.call_and_validate(headers=authorization, checks=CHECKS)
            statuses.setdefault(case.operation.label, set()).add(answer.status_code)

        check()
    assert len(statuses) == len(list(schema.get_all_operations()))
    assert 401 not in set().union(*statuses.values()), "the requests must get past the door to mean anything"
