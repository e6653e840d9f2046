"""Compiled code is loaded before the feed comes, not while its first records wait."""

from __future__ import annotations

import numpy as np
from databento_dbn import SystemMsg

from spymaster.feed.dbn_records import MBO_RECORD
from spymaster.feed.ingest.boundary import next_boundary
from spymaster.feed.ingest.stream import Stream, cut_whole
from spymaster.feed.topic import encode
from spymaster.market.clock import DAY_NS
from spymaster.market.identify import Instrument
from spymaster.market.instruments import Instruments
from spymaster.settings import Settings
from spymaster.stages.bronze_process_dbn import BronzeProcessDBN
from spymaster.stages.envelope import wire_batch


def warm_up(settings: Settings, now: int) -> None:
    """Take one record of a made-up instrument the whole way, to nowhere. `now`: ns UTC."""
    record = np.zeros(1, MBO_RECORD)
    record["length"], record["rtype"] = MBO_RECORD.itemsize // 4, 0xA0
    record["ts_recv"] = record["ts_event"] = DAY_NS
    record["action"], record["side"], record["size"], record["price"] = ord("A"), ord("B"), 1, 1
    known = Instrument("", 0, 0, "definition", None, "", contract_id="", price_step=1)
    told = bytes(SystemMsg(0, "warm"))
    data = Stream(1, float("-inf"), lambda: 0.0).take([_no_metadata(), told, record.tobytes()])
    stage = BronzeProcessDBN("", Instruments([known]), settings.underlier)
    done = stage.advance(cut_whole(data, 0).records)
    which = np.arange(len(done.events))
    head = {"venue": "", "batch_id": "", "upto": 0, "ingest_time": 0}
    encode(wire_batch(record, done, which, stage.contracts, **head))
    next_boundary(settings.underlier, now)


def _no_metadata() -> bytes:
    return b"DBN\x03" + bytes(4)
