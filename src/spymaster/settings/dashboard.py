"""The dashboard: where it listens, who may look, what it keeps, how often it tells."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spymaster.settings.base import AtLeastOne, Frozen, Name, Positive


class DashboardSettings(Frozen):
    """The dashboard: where it listens, who may look, what it keeps, how often it tells.

    `token_variable`: where the token is that a `host` beyond this machine asks for; when it is
    empty one is made and printed at the start. `sessions`: of an underlier kept in memory,
    `most_rows` of a table at most; `stored`: sessions of the lake kept in memory once looked at.
    `push_s`: between two messages to a client; `look_s`: between two looks at the processes.
    `stale_s`: a feed that is silent for so long is shown as stale.
    """

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_600
    token_variable: Name = "SPYMASTER_DASHBOARD_TOKEN"
    sessions: AtLeastOne = 1
    most_rows: AtLeastOne = 400_000
    stored: AtLeastOne = 4
    push_s: Positive = 0.1
    look_s: Positive = 1.0
    stale_s: Positive = 3.0
