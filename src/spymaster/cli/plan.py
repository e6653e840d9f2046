"""What a run would do, as a table."""

from __future__ import annotations

from collections import Counter

from rich.table import Table

from spymaster.cli.console import tell, tell_table
from spymaster.engines.local import LocalEngine
from spymaster.engines.plan import Dates
from spymaster.settings import Settings


def show_plan(settings: Settings, dates: Dates | None, verify: bool) -> None:
    """Every session of what has landed: its state, and why it is not current."""
    engine = LocalEngine(settings)
    engine.lake.check_exists()
    steps = engine.plan(dates, verify=verify)
    listing = Table(box=None, header_style="bold")
    for heading in ("session", "underlier", "state", "why"):
        listing.add_column(heading)
    last: dict[str, str] = {}
    for step in steps:
        s, why = step.session, "; ".join(step.why)
        if step.state == "current" and s.underlier in last:
            why = f"unless what {last[s.underlier]} says of itself changes"
        if step.state != "current":
            last[s.underlier] = str(s.session_date)
        listing.add_row(str(s.session_date), s.underlier, step.state, why)
    if steps:
        tell_table(listing)
    counts = Counter(step.state for step in steps)
    tell(
        ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        or "no session's windows lie in what has landed"
    )
    waiting = engine.waiting()
    if waiting:
        tell(f"{len(waiting)} landed files are not in bronze yet: {', '.join(waiting[:3])} ...")
