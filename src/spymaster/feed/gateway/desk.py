"""A session's subscriptions: taken, acknowledged or refused, and their instruments named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from databento_dbn import SType

from spymaster.feed.gateway.control import Refused, Request, request
from spymaster.feed.gateway.messages import ErrorCode, Messages, SystemCode
from spymaster.feed.gateway.subscription import Subscription, subscribe
from spymaster.feed.gateway.symbols import Symbols, utc_day


class Denied(Exception):
    """A request that ends the session. code: the protocol's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Desk:
    """What a client is subscribed to. `write` sends messages to it, `tell` a line to watchers.

    replay_ns: how far back a replay may reach; None: to the files' beginning.
    """

    def __init__(
        self,
        symbols: Symbols,
        messages: Messages,
        write: Callable[[bytes], None],
        tell: Callable[[str], None],
        replay_ns: int | None,
    ) -> None:
        self.subscriptions: list[Subscription] = []
        self._symbols, self._messages, self._write, self._tell = symbols, messages, write, tell
        self._replay_ns = replay_ns
        self._announced: dict[int, str] = {}

    def name_of(self, instrument_id: int) -> str:
        """What the client knows a number as."""
        return self._announced.get(instrument_id, str(instrument_id))

    def take(self, fields: dict[str, str], now: int, started: bool) -> Subscription:
        """Take a request: acknowledge it, name its instruments, report what is unknown.

        Raises Denied.
        """
        one = self._admitted(fields, now, started)
        if one.is_last:
            which = f" {one.id}" if one.id else ""
            text = f"Subscription request{which} for {one.schema} data succeeded"
            self._write(self._messages.system(now, SystemCode.SUBSCRIPTION_ACK, text))
        subscription = subscribe(one, self._symbols.on(utc_day(now)))
        self.subscriptions.append(subscription)
        self._name([subscription], now)
        self._unresolved(subscription, now)
        return subscription

    def new_day(self, now: int) -> None:
        """A number may stand for another instrument from one UTC day to the next."""
        symbols = self._symbols.on(utc_day(now))
        self.subscriptions = [subscribe(one.request, symbols) for one in self.subscriptions]
        self._name(self.subscriptions, now)

    def _admitted(self, fields: dict[str, str], now: int, started: bool) -> Request:
        try:
            one = request(fields)
        except Refused as refused:
            raise Denied(ErrorCode.INVALID_SUBSCRIPTION, str(refused)) from None
        if started and one.start is not None:
            text = "A replay can be asked for only before the session has started."
            raise Denied(ErrorCode.INVALID_SUBSCRIPTION, text)
        if one.start is not None and one.start > now:
            text = f"start {one.start} is later than the feed's time, {now}."
            raise Denied(ErrorCode.INVALID_SUBSCRIPTION, text)
        if one.start and self._replay_ns is not None and one.start < now - self._replay_ns:
            text = f"start {one.start} is older than what is kept, {now - self._replay_ns}."
            raise Denied(ErrorCode.REPLAY_DATA_AGED_OUT, text)
        return one

    def _unresolved(self, one: Subscription, now: int) -> None:
        for symbol in one.unknown:
            text = f"Failed to resolve symbol {symbol} ({one.request.stype_in})"
            last = symbol == one.unknown[-1]
            code = ErrorCode.SYMBOL_RESOLUTION_FAILED
            self._write(self._messages.error(now, code, text, last))
        if one.unknown:
            more = " ..." if len(one.unknown) > 5 else ""
            self._tell(f"unknown symbols: {', '.join(one.unknown[:5])}{more}")

    def _name(self, subscriptions: Sequence[Subscription], now: int) -> None:
        """A mapping message for every instrument that the client does not know yet."""
        messages = []
        for one in subscriptions:
            stype = SType.from_str(one.request.stype_in)
            for asked, listed in one.listed:
                number, name = listed.instrument_id, listed.raw_symbol
                if self._announced.get(number) != name:
                    self._announced[number] = name
                    messages.append(self._messages.mapping(now, number, asked, stype, name))
        if messages:
            self._write(b"".join(messages))
