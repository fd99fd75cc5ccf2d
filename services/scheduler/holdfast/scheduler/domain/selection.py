"""Which objects a job backs up, held against what the org offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.common.errors import HoldfastError, Kind


@dataclass(frozen=True)
class OfferedObject:
    """An object of the org. `reason` says why it is not recommended, or not `readable` at all."""

    name: str
    recommended: bool
    reason: str = ""
    readable: bool = True


def choose(selection: Sequence[str], offered: Sequence[OfferedObject]) -> tuple[str, ...]:
    """The selection in the org's own spelling (Salesforce does not tell cases apart).

    Args:
        selection: Object names; empty means every recommended object, now and later.
        offered: What the org showed to the connection's user.

    Returns:
        The names; empty again for an empty selection, so that later objects are included by themselves.

    Raises:
        HoldfastError: INVALID with field `objects[n]` for an object that is unknown, unreadable or named
            twice; INVALID "empty selection" when there is nothing to back up.
    """
    if not selection:
        _refuse_empty(offered)
        return ()
    known = {offer.name.casefold(): offer for offer in offered}
    chosen: dict[str, None] = {}
    for position, name in enumerate(selection):
        offer = _one(name, known, f"objects[{position}]")
        if offer.name in chosen:
            raise _invalid(f"The object {offer.name} is named twice.", "repeated-object", f"objects[{position}]")
        chosen[offer.name] = None
    return tuple(chosen)


def _one(name: str, known: dict[str, OfferedObject], field: str) -> OfferedObject:
    offer = known.get(name.strip().casefold())
    if offer is None:
        raise _invalid(
            f"The org has no object {name!r}, or the connection's user may not see it.",
            "unknown-object",
            field,
        )
    if not offer.readable:
        why = (offer.reason or "the connection's user may not read it").rstrip(".")
        raise _invalid(f"The object {offer.name} cannot be backed up: {why}.", "unreadable-object", field)
    return offer


def _refuse_empty(offered: Sequence[OfferedObject]) -> None:
    if not any(offer.recommended and offer.readable for offer in offered):
        raise _invalid(
            "The selection is empty: the org offers this connection's user nothing that could be backed up.",
            "empty-selection",
            "objects",
        )


def _invalid(message: str, code: str, field: str) -> HoldfastError:
    return HoldfastError(Kind.INVALID, message, code=code, field=field)
