"""How the exchange prints: events in packets, packets on a wire that is now and then slow."""

from __future__ import annotations

import math

import numpy as np

from spymaster.feed.simulator.draws import below, exponential, normal, uniform
from spymaster.feed.simulator.hot import hot
from spymaster.feed.simulator.market import BID, LADDER, Market

ADD, CANCEL, MODIFY, CLEAR, TRADE, FILL = 65, 67, 77, 82, 84, 70
_SIDES = np.array([66, 65, 78], np.uint8)
#: F_LAST, and the bit that CME's feed handler sets with it.
LAST = 128 | 2
SNAPSHOT = 32 | 8
MAYBE_BAD_BOOK = 4

#: Wire delay: the median in ns, and the spread of its logarithm.
_DELAY_NS, _DELAY_LOG = 114_000.0, 0.3
#: Some packets wait behind others: this share, and how long in the mean.
_QUEUED, _QUEUE_NS = 0.018, 1.4e6
#: Share of what happens before the last packet is received that is in it.
_SAME_PACKET = 0.06
UNDEF_PRICE = 2**63 - 1


@hot
def begin(m: Market) -> None:
    """Something happens at the exchange: in the packet being filled, or in a new one."""
    s = m.state[0]
    s.event = s.now
    s.event_from = s.n
    if s.now == s.packet_event or (
        s.now - s.packet_event < 300_000
        and s.now + 20_000 < s.recv
        and uniform(m.rng) < _SAME_PACKET
    ):
        return
    delay = _DELAY_NS * math.exp(_DELAY_LOG * normal(m.rng))
    u = uniform(m.rng)
    if u > 1.0 - _QUEUED:
        delay += exponential(m.rng, _QUEUE_NS)
    if u < s.late_share:
        # A wire that stalls holds up all that comes after, too.
        delay += (
            250e6 + exponential(m.rng, 150e6) if u < 0.1 * s.late_share else uniform(m.rng) * 110e6
        )
    _packet(m, s.now + int(delay), 1000)
    if uniform(m.rng) < 5e-5:
        # Another gateway's clock: stamped before what was printed already.
        s.event = s.now - below(m.rng, 3_000_000)


@hot
def next_packet(m: Market) -> None:
    """The same event goes on in another packet."""
    s = m.state[0]
    gap = 6_000 + below(m.rng, 8_000)
    if uniform(m.rng) < 0.002:
        gap += below(m.rng, 900_000)
    _packet(m, s.recv + gap, 0)


@hot
def _packet(m: Market, at: int, spacing: int) -> None:
    s = m.state[0]
    s.packet += 1
    s.packet_event = s.now
    s.packet_delta = 11_800 + int(exponential(m.rng, 3_400.0))
    if at <= s.recv:
        at = s.recv + spacing + below(m.rng, 8_000)
    # Nothing of this day arrives in the next one's file.
    s.recv = max(s.recv, min(at, s.recv_limit))


@hot
def write(m: Market, action: int, side: int, px: int, size: int, order_id: int) -> None:
    """One record is printed, its price in ticks."""
    write_at(m, action, side, px * m.state[0].tick_px, size, order_id)


@hot
def write_at(m: Market, action: int, side: int, price: int, size: int, order_id: int) -> None:
    """One record is printed, its price in 1e-9."""
    s = m.state[0]
    row = m.out[s.n]
    row.length, row.rtype, row.publisher_id = 14, 160, s.publisher
    row.instrument_id = s.instrument_id
    row.ts_event, row.ts_recv = s.event, s.recv
    row.order_id, row.price, row.size = order_id, price, size
    row.flags = MAYBE_BAD_BOOK if s.now < s.bad_until else 0
    row.channel_id, row.action, row.side = 0, action, _SIDES[side]
    row.ts_in_delta = s.packet_delta
    row.sequence = s.packet & 0xFFFFFFFF
    s.n += 1


@hot
def end(m: Market) -> None:
    """The event's last record says so, unless that was lost."""
    s = m.state[0]
    if s.n > s.event_from and uniform(m.rng) >= s.lost_share:
        m.out[s.n - 1].flags |= LAST


@hot
def snapshot(m: Market, ts_recv: int, ts_event: int, framed: bool, from_row: int) -> int:
    """The vendor repeats the whole book: bids, then asks, best first, oldest first.

    Written to `out` from `from_row` on; returns how many. `framed`: R before it, F_LAST at its
    end; feeds have it both ways.
    """
    n = from_row
    if framed:
        _old(m, n, ts_recv, ts_event, CLEAR, 2, 0, 0, 0)
        m.out[n].price = UNDEF_PRICE
        n += 1
    for side in range(2):
        for k in range(LADDER):
            px = LADDER - 1 - k if side == BID else k
            slot = m.head[side, px]
            while slot >= 0:
                order = m.orders[slot]
                _old(m, n, ts_recv, ts_event, ADD, side, px, order.size, order.id)
                n += 1
                slot = order.next
    if framed and n > from_row:
        m.out[n - 1].flags |= 128
    return int(n - from_row)


@hot
def _old(
    m: Market,
    n: int,
    ts_recv: int,
    ts_event: int,
    action: int,
    side: int,
    px: int,
    size: int,
    order_id: int,
) -> None:
    row = m.out[n]
    row.length, row.rtype, row.publisher_id = 14, 160, 1
    row.instrument_id = m.state[0].instrument_id
    row.ts_event, row.ts_recv = ts_event, ts_recv
    row.order_id, row.price, row.size = order_id, px * m.state[0].tick_px, size
    row.flags, row.channel_id, row.action, row.side = SNAPSHOT, 0, action, _SIDES[side]
    row.ts_in_delta, row.sequence = 0, 500 + order_id % 300


@hot
def recover(m: Market) -> None:
    """After a doubtful spell the vendor sends the whole book again, in mid-stream."""
    s = m.state[0]
    s.bad_until = 0
    s.recv = max(s.recv, min(s.now + 119_000, s.recv_limit))
    s.n += snapshot(m, s.recv, s.now - 1_000_000, True, s.n)
    s.packet_event = 0
