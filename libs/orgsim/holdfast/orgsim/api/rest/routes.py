"""Every route of the REST API, fixed paths before those with placeholders in the same place."""

from __future__ import annotations

from holdfast.orgsim.api.rest import (
    collections,
    composite,
    describe,
    graph,
    images,
    layouts,
    limits,
    navigation,
    processes,
    query,
    replication,
    row_parts,
    rows,
    search,
    tooling,
    tree,
    users,
    versions,
)
from holdfast.orgsim.api.web import Router

router = Router()
for module in (
    versions,
    limits,
    query,
    tooling,
    search,
    navigation,
    processes,
    collections,
    tree,
    graph,
    composite,
    layouts,
    describe,
    replication,
    users,
    rows,
    images,
    row_parts,
):
    router.include(module.router)
