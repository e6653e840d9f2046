"""Who was champion when: a model's changes in order, written before the alias moves and after.

The table tells what shall be, the registry's alias what is. A change that was killed before its
`carried_out` is carried out by whoever comes next; one that was carried out is never repeated: an
alias that somebody has moved since, also back to the champion before, is taken as it is.
Hold the model's promotion lease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from spymaster.errors import ModelError
from spymaster.lake import Lake
from spymaster.lake.lineage import code_version

PROMOTIONS = "gold.promotions"
Event = Literal["promoted", "rolled_back", "carried_out", "found"]
Change = dict[str, Any]
#: What is at most begun until its `carried_out` stands after it.
_BEGUN = ("promoted", "rolled_back")


@dataclass(frozen=True)
class Champions:
    """The changes of one model. `get` and `put` are its alias `champion` in the registry."""

    lake: Lake
    model_id: str
    get: Callable[[], str | None]
    put: Callable[[str], None]

    def changes(self) -> list[Change]:
        """Every row, in order."""
        asked = {"model_id": self.model_id}
        rows = self.lake.scan(PROMOTIONS, filters=asked, missing_ok=True).to_pylist()
        return sorted(rows, key=lambda r: int(r["number"]))

    def settle(self, now: int) -> str | None:
        """Bring table and alias together; the champion that is then both, None if there is none."""
        changes = self.changes()
        nothing: Change = {"event": "found", "version": None, "before": None}
        last = changes[-1] if changes else nothing
        there, begun = self.get(), last["event"] in _BEGUN
        if there == last["version"]:
            if begun:
                self._carried_out(last, now)
            return there
        if begun and there == last["before"]:
            self.put(last["version"])
            self._carried_out(last, now)
            return str(last["version"])
        # What was only begun, nobody knows to have been champion.
        before = last["before"] if begun else last["version"]
        self._note("found", there, before, None, "the alias was set elsewhere", now)
        return there

    def promote(self, version: str, look_id: str, reason: str, now: int) -> str | None:
        """Make a version champion; returns the one before."""
        before = self.settle(now)
        self._change("promoted", version, before, look_id, reason, now)
        return before

    def roll_back(self, reason: str, now: int) -> tuple[str, str]:
        """Bring the champion before back: (champion now, champion until now).

        Again and again goes further back. Raises ModelError when there is none before.
        """
        champion = self.settle(now)
        earlier = stack(self.changes())[:-1]
        if champion is None or not earlier:
            raise ModelError(
                f"{self.model_id}: champion is {champion or 'nobody'}, and there was none before. "
                "Promote a version: spymaster ml promote"
            )
        self._change("rolled_back", earlier[-1], champion, None, reason, now)
        return earlier[-1], champion

    def _change(
        self,
        event: Event,
        version: str,
        before: str | None,
        look_id: str | None,
        reason: str,
        now: int,
    ) -> None:
        change = self._note(event, version, before, look_id, reason, now)
        self.put(version)
        self._carried_out(change, now)

    def _carried_out(self, change: Change, now: int) -> None:
        what = (change["version"], change["before"], change["look_id"])
        self._note("carried_out", *what, f"change {change['number']}: the alias moved", now)

    def _note(
        self,
        event: Event,
        version: str | None,
        before: str | None,
        look_id: str | None,
        reason: str,
        now: int,
    ) -> Change:
        number = len(self.changes()) + 1
        row = {
            "model_id": self.model_id,
            "number": number,
            "at": now,
            "event": event,
            "version": version,
            "before": before,
            "look_id": look_id,
            "reason": reason,
            "code_version": code_version(),
        }
        # Where a lease has no locks (an object store), the number is what only one can have.
        if not self.lake.append_rows(PROMOTIONS, [row], (self.model_id, number)).written:
            raise ModelError(
                f"{self.model_id}: change {number} of its champion was made by somebody else at "
                "this moment. See: spymaster ml models"
            )
        return row


def stack(changes: list[Change]) -> list[str]:
    """The champions that a rollback can go back to, the last one in force.

    An alias that was set back by hand to the champion before is a rollback, too. A change that was
    begun, and after which another champion was found than it says, never was.

    >>> def change(event, version, before):
    ...     return {"event": event, "version": version, "before": before}
    >>> made = [change("promoted", "1", None), change("promoted", "2", "1")]
    >>> back = change("rolled_back", "1", "2")
    >>> stack(made), stack([*made, back])
    (['1', '2'], ['1'])
    >>> stack([*made, change("found", "1", "2")])
    ['1']
    >>> stack([*made, change("found", "3", "1")]), stack([*made, back, change("found", "3", "2")])
    (['1', '3'], ['1', '2', '3'])
    """
    kept: list[str] = []
    earlier: list[str] = []  # before the last change that was begun
    for change in changes:
        if change["event"] == "carried_out":
            continue
        if change["event"] in _BEGUN:
            earlier = list(kept)
        elif change["before"] != (kept[-1] if kept else None):
            kept = list(earlier)
        by_hand = change["event"] == "found" and kept[-2:-1] == [change["version"]]
        if change["event"] == "rolled_back" or by_hand:
            kept.pop()
        elif change["version"] is None:
            kept.clear()
        else:
            kept.append(change["version"])
    return kept
