"""/v1/health"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(prefix="/v1", tags=["health"])


class Health(BaseModel):
    """The gateway answers."""

    status: Literal["ok"] = "ok"


@router.get("/health", operation_id="getHealth")
async def get_health() -> Health:
    """Whether the gateway is alive. Needs no token and asks no other service."""
    return Health()
