"""Tunnels by hand over aioquic: heads, datagrams with context ids, and capsules."""

import asyncio
import contextlib
import urllib.parse

from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import Setting
from aioquic.h3.events import DatagramReceived

from aioquic_peer import Connection, Exchange, Peer, peer
from harness import check, same

DATAGRAM = 0x00
# What carries TCP's bytes and their end, by the name of the protocol; the numbers are provisional.
CONTENTS = {
    "connect-tcp-12": (0x2028D7F2, 0x2028D7F3),
    "connect-tcp-07": (0x2028D7F0, 0x2028D7F1),
    "connect-tcp": (0x2028D7F2, 0x2028D7F3),
}
# A packet of this size has room for a payload of 1,200 bytes and what is around it.
PACKET = 1400


def capsule(kind, value):
    """The bytes of one."""
    return encode_uint_var(kind) + encode_uint_var(len(value)) + value


def in_context(payload, number=0):
    """A payload behind its context id."""
    return encode_uint_var(number) + payload


def path_of(host, port, kind="udp"):
    """The default template, expanded."""
    return f"/.well-known/masque/{kind}/{urllib.parse.quote(str(host), safe='')}/{port}/"


class Datagrams(Connection):
    """A connection that announces datagrams, and no WebTransport."""

    def _get_local_settings(self):
        settings = super()._get_local_settings()
        del settings[Setting.ENABLE_WEBTRANSPORT]
        return settings


class Plain(Datagrams):
    """One that announces no datagrams, either."""

    def _get_local_settings(self):
        settings = super()._get_local_settings()
        del settings[Setting.H3_DATAGRAM]
        return settings


class Tunnel:
    """One request, and what came through it."""

    def __init__(self, client, exchange):
        self.client = client
        self.exchange = exchange
        self.id = exchange.stream_id
        self.datagrams = []  # with context ids, as they came in frames

    # What a test sends.

    def datagram(self, payload, context=0):
        self.raw(in_context(payload, context))

    def raw(self, payload):
        self.client.http.send_datagram(self.id, payload)
        self.client.transmit()

    def write(self, data, end=False):
        self.client.http.send_data(self.id, data, end)
        self.client.transmit()

    def capsule(self, kind, value, end=False):
        self.write(capsule(kind, value), end)

    def finish(self):
        self.write(b"", end=True)

    def reset(self, code=0x10C):
        self.client._quic.reset_stream(self.id, code)
        self.client._quic.stop_stream(self.id, code)
        self.client.transmit()

    # What a test looks at.

    def capsules(self):
        """All complete capsules that came, as (type, value)."""
        found, buffer = [], Buffer(data=bytes(self.exchange.body))
        with contextlib.suppress(BufferReadError):
            while not buffer.eof():
                kind, size = buffer.pull_uint_var(), buffer.pull_uint_var()
                found.append((kind, buffer.pull_bytes(size)))
        return found

    def packets(self, form=None):
        """The UDP payloads that came, of datagrams, of capsules, or of both."""
        whole = [] if form == "capsules" else list(self.datagrams)
        if form != "datagrams":
            whole += [value for kind, value in self.capsules() if kind == DATAGRAM]
        return [one[1:] for one in whole if one[:1] == b"\0"]

    def content(self, protocol):
        """What came of TCP's bytes, and whether their end did."""
        data, final = CONTENTS[protocol]
        came, over = bytearray(), False
        for kind, value in self.capsules():
            if kind in (data, final):
                check(not over, "content after the final capsule")
                came += value
                over = kind == final
        return bytes(came), over

    async def until(self, condition, what, seconds=5):
        """Waits for it; a reset is told."""
        exchange = self.exchange
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(exchange.until(condition), seconds)
        check(condition(), f"{what}; reset {exchange.reset_code!r}, ended {exchange.ended}")

    async def opened(self):
        """Waits for the 200."""
        await self.until(lambda: self.exchange.fields is not None, "no answer", 10)
        same(self.exchange.status, 200, f"status ({self.exchange.field('proxy-status')})")
        return self

    async def came(self, payload, seconds=0.5, form=None):
        """Whether it comes within that time."""
        condition = lambda: payload in self.packets(form)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.exchange.until(condition), seconds)
        return condition()

    async def echo(self, payload, send=None, form=None):
        """Sends until it comes back; datagrams may be lost. Payloads are to differ from each other."""
        for _ in range(10):
            (send or self.datagram)(payload)
            if await self.came(payload, form=form):
                return
            check(self.exchange.reset_code is None, f"reset with {self.exchange.reset_code!r}")
            check(not self.exchange.ended, "the tunnel has ended")
        check(False, f"{len(payload)} bytes did not come back")

    async def aborted(self, *codes):
        """Waits for a reset with one of these codes."""
        await self.until(lambda: self.exchange.reset_code is not None, "no reset")
        seen = self.exchange.reset_code
        check(seen in codes, f"reset with {seen!r}, not {[hex(code) for code in codes]}")


class Client(Peer):
    """One connection to a proxy."""

    speaks = Datagrams

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.tunnels = {}

    def _http_event(self, event):
        if isinstance(event, DatagramReceived):
            if event.stream_id in self.tunnels:
                self.tunnels[event.stream_id].datagrams.append(event.data)
        else:
            super()._http_event(event)

    def ask(self, path, fields=(), protocol="connect-udp", end=False):
        """Extended CONNECT; does not wait for its answer."""
        exchange = self.start(
            "CONNECT",
            path,
            [(b"capsule-protocol", b"?1"), *fields],
            end=end,
            pseudo=[(b":protocol", protocol.encode())],
        )
        tunnel = self.tunnels[exchange.stream_id] = Tunnel(self, exchange)
        return tunnel

    async def tunnel(self, host, port, fields=(), protocol="connect-udp"):
        """A tunnel that was opened."""
        await self.settings()
        kind = "udp" if protocol == "connect-udp" else "tcp"
        return await self.ask(path_of(host, port, kind), fields, protocol).opened()

    async def answer(self, path, fields=(), protocol="connect-udp"):
        """The head that answers, whatever it is."""
        await self.settings()
        tunnel = self.ask(path, fields, protocol)
        await tunnel.until(lambda: tunnel.exchange.fields is not None, f"no answer to {path}", 10)
        return tunnel.exchange

    def classic(self, authority):
        """CONNECT without anything extended: a head of two fields."""
        exchange = Exchange(self._quic.get_next_available_stream_id())
        self.exchanges[exchange.stream_id] = exchange
        head = [(b":method", b"CONNECT"), (b":authority", authority.encode())]
        self.http.send_headers(exchange.stream_id, head)
        self.transmit()
        return Tunnel(self, exchange)


class PlainClient(Client):
    speaks = Plain


def client(proxy, kind=Client, **settings):
    """A connection to a proxy, with packets that have room for the usual payloads."""
    return peer(proxy, kind=kind, max_datagram_size=PACKET, **settings)
