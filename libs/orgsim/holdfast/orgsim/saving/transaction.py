"""Transactions: what one save, or several that stand or fall together, change in rows, bin and ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ledger.blocks import Block
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org


LOCKED = "UNABLE_TO_LOCK_ROW"
LOCKED_SENTENCE = "unable to obtain exclusive access to this record"
UNDELAYED = frozenset({"setup", "platform", "reset"})  # the org's own changes; they wait for nobody


class RowLockedError(ApiError):
    """A save would change a row that a transaction which is not committed yet has changed."""

    def __init__(self) -> None:
        super().__init__(400, LOCKED, LOCKED_SENTENCE, [])


@dataclass(frozen=True)
class Effect:
    """A change outside the tables, e.g. of the recycle bin, and how to take it back."""

    do: Callable[[], None]
    undo: Callable[[], None]


@dataclass(eq=False)
class Transaction:
    """What was done so far, in order."""

    steps: list[Block | Effect] = field(default_factory=list)


class Transactions:
    """Opens, commits and undoes the transactions of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._current: ContextVar[Transaction | None] = ContextVar("transaction", default=None)
        self._own_delay: ContextVar[timedelta | None] = ContextVar("delay", default=None)
        self._late: list[Transaction] = []
        self._open: list[Transaction] = []
        self.delay = timedelta(0)

    @property
    def contended(self) -> bool:
        """Whether a transaction other than the present one, open or done, is not committed yet."""
        return bool(self._others())

    @property
    def pending(self) -> int:
        """How many transactions are done and not yet committed."""
        return len(self._late)

    @contextmanager
    def delayed(self, by: timedelta) -> Iterator[None]:
        """Saves inside commit late: they are answered and stamped now, and seen once the org's clock is `by` further.

        Until then nobody sees them, and the rows that they change cannot be saved by others. `delay` does the same
        for every save.
        """
        token = self._own_delay.set(by)
        try:
            yield
        finally:
            self._own_delay.reset(token)

    def locked(self, ids: pl.Series) -> pl.Series | None:
        """Which of these records a transaction that is not committed yet has changed; None if no such is pending."""
        if not self.contended:
            return None
        return ids.is_in(_together([block.ids for block in self._waiting()]).implode())

    def looked_up(self, ids: pl.Series) -> pl.Series | None:
        """Which of these records the rows of pending transactions look up at or are; None if no such is pending."""
        if not self.contended:
            return None
        held = [block.ids for block in self._waiting()]
        for block in self._waiting():
            if block.after is not None:
                names = [field["name"] for field in self._org.schema.objects[block.object].references()]
                held += [block.after[name].drop_nulls() for name in names if name in block.after.columns]
        return ids.is_in(_together(held).implode())

    def waiting_rows(self, obj: SObject) -> list[pl.DataFrame]:
        """The rows of an object as pending transactions will leave them, in the order in which they were saved."""
        return [block.after for block in self._waiting() if block.object == obj.name and block.after is not None]

    def forget_late(self) -> None:
        """Drop the transactions that are not committed yet. Nobody has seen what they did."""
        self._late.clear()

    def _waiting(self) -> list[Block]:
        return [step for other in self._others() for step in other.steps if isinstance(step, Block)]

    def _others(self) -> list[Transaction]:
        """Late ones, and those that other requests have open while they wait for something."""
        present = self._current.get()
        return [*self._late, *(other for other in self._open if other is not present)]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything saved inside is kept together, or, on an exception, nothing is.

        May be nested: an inner block that fails takes back only what was done in it.
        """
        outer = self._current.get()
        if outer is not None:
            mark = len(outer.steps)
            try:
                yield
            except BaseException:
                self._undo(outer, mark)
                raise
            return
        transaction = Transaction()
        token = self._current.set(transaction)
        self._open.append(transaction)
        try:
            yield
        except BaseException:
            self._undo(transaction, 0)
            raise
        finally:
            self._current.reset(token)
            self._open.remove(transaction)
        try:
            self._commit(transaction)
        except BaseException:  # what the ledger could not take must not stay in the tables
            self._undo(transaction, 0)
            raise

    def save(
        self,
        obj: SObject,
        operation: str,
        before: pl.DataFrame | None,
        after: pl.DataFrame | None,
        *,
        who: str,
        api: str,
        notes: str | pl.Series | None = None,
    ) -> None:
        """Put complete rows into their table, past all rules, and into the ledger when the transaction commits.

        Args:
            obj: The rows' object.
            operation: As the ledger names it.
            before: The rows as they are; None if they are new.
            after: The rows as they shall be, in the same order; None takes them away for good.
            who: Id of the user.
            api: The way in.
            notes: Why, for all rows or for each.

        Raises:
            RowLockedError: a transaction that is not committed yet has changed one of the rows.
        """
        block = Block(obj.name, operation, who, api, before, after, notes)
        if not block.height:
            return
        if self.contended and api not in UNDELAYED:
            locked = self.locked(block.ids)
            if locked is not None and locked.any():
                raise RowLockedError
        with self.together():
            self._apply(block)
            self._present().steps.append(block)

    def effect(self, do: Callable[[], None], undo: Callable[[], None]) -> None:
        """Do something beside the tables that is taken back with the transaction."""
        with self.together():
            do()
            self._present().steps.append(Effect(do, undo))

    def _present(self) -> Transaction:
        transaction = self._current.get()
        assert transaction is not None
        return transaction

    def _commit(self, transaction: Transaction) -> None:
        blocks = [step for step in transaction.steps if isinstance(step, Block)]
        own = self._own_delay.get()
        delay = self.delay if own is None else own
        if not blocks:
            return
        if not delay or all(block.api in UNDELAYED for block in blocks):
            self._org.ledger.append(self._org.clock.now(), blocks)
            return
        late = Transaction(list(transaction.steps))
        self._undo(transaction, 0)
        self._late.append(late)
        self._org.schedule.at(self._org.clock.now() + delay, lambda: self._release(late))

    def _release(self, late: Transaction) -> None:
        """Commit what was done before; its rows carry the stamps of their save."""
        if late not in self._late:
            return
        self._late.remove(late)
        blocks = []
        for step in late.steps:
            if isinstance(step, Effect):
                step.do()
                continue
            block = self._rebased(step)
            if block.height:
                self._apply(block)
                blocks.append(block)
        self._org.ledger.append(self._org.clock.now(), blocks)
        for block in blocks:
            self._work_formulas_out(block)

    def _rebased(self, block: Block) -> Block:
        """The same change of the rows as they are by now: the org itself may have worked out formulas meanwhile."""
        if block.before is None:
            return block
        table = self._org.table(self._org.schema.objects[block.object])
        now = table.fetch(block.ids)
        if block.after is None or now.equals(block.before):
            return replace(block, before=now, notes=_picked(block, now))
        there = block.ids.is_in(now["Id"].implode())
        was, wanted = block.before.filter(there), block.after.filter(there)
        shared = [name for name in now.columns if name in wanted.columns and name in was.columns]
        after = now.with_columns(
            now[name].zip_with(wanted[name].eq_missing(was[name]), wanted[name]).alias(name) for name in shared
        )
        return replace(block, before=now, after=after, notes=_picked(block, now))

    def _work_formulas_out(self, block: Block) -> None:
        """Formulas over what has changed between the save and its commit."""
        from holdfast.orgsim.rules.formulas import formulas_met  # noqa: PLC0415 - rules save through this module

        if block.after is not None:
            formulas_met(self._org, self._org.schema.objects[block.object], block.before, block.after)

    def _apply(self, block: Block) -> None:
        table = self._org.table(self._org.schema.objects[block.object])
        if block.after is None:
            table.remove_rows(block.ids)
        else:
            table.put_rows(block.after)

    def _undo(self, transaction: Transaction, mark: int) -> None:
        for step in reversed(transaction.steps[mark:]):
            if isinstance(step, Effect):
                step.undo()
            else:
                self._apply(Block(step.object, "undo", step.who, step.api, step.after, step.before))
        del transaction.steps[mark:]


def _together(held: Iterable[pl.Series]) -> pl.Series:
    return pl.concat([pl.Series("Id", [], dtype=pl.String), *(series.rename("Id") for series in held)])


def _picked(block: Block, now: pl.DataFrame) -> str | pl.Series | None:
    """The notes of the rows that are still there."""
    if not isinstance(block.notes, pl.Series) or now.height == block.height:
        return block.notes
    return block.notes.filter(block.ids.is_in(now["Id"].implode()))


def all_or_none(org: Org) -> AbstractContextManager[None]:
    """Everything saved inside is kept together, or, on an exception, nothing is. May be nested."""
    return org.transactions.together()
