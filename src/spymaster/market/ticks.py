"""Price steps: the grid a contract's prices lie on, and the tick in which distances are told."""

from __future__ import annotations

from dataclasses import dataclass

#: 0.01 in units of 1e-9.
CENT = 10_000_000
#: US equities: quoted in cents, but hidden orders trade at half cents and below.
STOCK_TICK, STOCK_STEP = CENT, CENT // 100


@dataclass(frozen=True)
class Product:
    """A futures product as its exchange specifies it: tick (1e-9), currency per point."""

    tick: int
    multiplier: float


#: CME's equity index futures, for input that brings no definitions. All expire on the third
#: Friday of their month at 9:30 New York.
INDEX_FUTURES = {
    "ES": Product(250_000_000, 50.0),
    "MES": Product(250_000_000, 5.0),
    "NQ": Product(250_000_000, 20.0),
    "MNQ": Product(250_000_000, 2.0),
    "RTY": Product(100_000_000, 50.0),
    "M2K": Product(100_000_000, 5.0),
    "YM": Product(1_000_000_000, 5.0),
    "MYM": Product(1_000_000_000, 0.5),
}

#: Options whose tick varies with the premium: distances are told in the larger one.
OPTION_TICKS = {"ES": 50_000_000, "MES": 50_000_000, "NQ": 50_000_000, "MNQ": 50_000_000}


def price_grid(
    instrument_type: str, root: str, min_price_increment: int | None
) -> tuple[int, int] | None:
    """Price step and tick of a contract, both in 1e-9; None for a future without a known tick.

    A step divides its tick. The tick of ES options varies with the premium, so their definitions
    have none: their step is 0.01.

    >>> price_grid("FUT", "ES", 250_000_000)
    (250000000, 250000000)
    >>> price_grid("STK", "TSLA", None)
    (100000, 10000000)
    >>> price_grid("OPT", "ES", None)
    (10000000, 50000000)
    """
    declared = min_price_increment if min_price_increment and min_price_increment > 0 else None
    if instrument_type == "STK":
        return STOCK_STEP, STOCK_TICK
    if instrument_type == "OPT":
        tick = declared or OPTION_TICKS.get(root, CENT)
        return (tick if tick % CENT else CENT), tick
    known = INDEX_FUTURES.get(root)
    tick = declared or (known.tick if known else 0)
    return (tick, tick) if tick else None
