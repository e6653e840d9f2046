"""What a gateway says of itself in a stream: metadata, acknowledgements, mappings, errors."""

from __future__ import annotations

from databento_dbn import (
    ErrorCode,
    ErrorMsg,
    Metadata,
    SType,
    SymbolMappingMsg,
    SystemCode,
    SystemMsg,
)

from spymaster.market.clock import DAY_NS

__all__ = ["ErrorCode", "Messages", "SystemCode"]
_NO_TIME = 2**64 - 1


class Messages:
    """A session's messages as bytes of DBN version 3, each with its send time if it wants them."""

    def __init__(self, dataset: str, ts_out: bool) -> None:
        self._dataset, self._ts_out = dataset, ts_out

    def metadata(self, now: int) -> bytes:
        """The head of the stream."""
        return Metadata(
            dataset=self._dataset,
            start=now,
            stype_in=None,
            stype_out=SType.INSTRUMENT_ID,  # type: ignore[arg-type]
            schema=None,
            ts_out=self._ts_out,
            version=3,
        ).encode()

    def system(self, now: int, code: int, text: str) -> bytes:
        return bytes(SystemMsg(now, text[:302], code=SystemCode(code), ts_out=self._sent(now)))

    def error(self, now: int, code: int, text: str, is_last: bool = True) -> bytes:
        return bytes(
            ErrorMsg(now, text[:301], is_last, code=ErrorCode(code), ts_out=self._sent(now))
        )

    def mapping(
        self, now: int, instrument_id: int, asked: str, stype_in: SType, raw_symbol: str
    ) -> bytes:
        """From this UTC day on a number stands for a symbol, which the client asked for so."""
        day = now // DAY_NS * DAY_NS
        return bytes(
            SymbolMappingMsg(
                0,
                instrument_id,
                now,
                stype_in,
                asked,
                SType.RAW_SYMBOL,  # type: ignore[arg-type]
                raw_symbol,
                day,
                day + DAY_NS,
                ts_out=self._sent(now),
            )
        )

    def _sent(self, now: int) -> int:
        return now if self._ts_out else _NO_TIME
