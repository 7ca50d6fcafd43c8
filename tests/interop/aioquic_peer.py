"""An aioquic HTTP/3 and WebTransport client with everything a test wants to look at.

aioquic's `H3Connection` does the framing and QPACK. Three things it does not report are read here:
GOAWAY on the control stream (it throws the payload away), the answers on bidirectional
WebTransport streams that we opened (it would parse them as HTTP frames), and capsules.
"""

import asyncio
import contextlib
import ssl

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection, FrameType
from aioquic.h3.events import (
    DatagramReceived,
    DataReceived,
    HeadersReceived,
    WebTransportStreamDataReceived,
)
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from harness import Failed, check

WT_CLOSE_SESSION = 0x2843
WT_DRAIN_SESSION = 0x78AE
# https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html, "Mapping of error codes"
WT_APPLICATION_ERROR = 0x52E4A40FA8DB
WT_SESSION_GONE = 0x170D7B68


def to_http_code(code):
    """A WebTransport application code as the HTTP/3 code on the wire."""
    return WT_APPLICATION_ERROR + code + code // 0x1E


class Connection(H3Connection):
    """aioquic's connection, taught that the content-length of a HEAD answer counts no bytes."""

    def __init__(self, quic):
        super().__init__(quic, enable_webtransport=True)
        self.heads = set()

    def _check_content_length(self, stream):
        if stream.stream_id not in self.heads:
            super()._check_content_length(stream)


class Exchange:
    """One request and what came back on its stream."""

    def __init__(self, stream_id):
        self.stream_id = stream_id
        self.interim = []
        self.fields = None
        self.body = bytearray()
        self.trailers = None
        self.reset_code = None
        self.stop_code = None
        self.ended = False
        self.changed = asyncio.Condition()

    @property
    def status(self):
        return int(dict(self.fields)[b":status"]) if self.fields else None

    def field(self, name):
        """The value of the first field of that name, or None."""
        return next((v.decode() for k, v in self.fields or [] if k == name.encode()), None)

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(lambda: condition() or self.reset_code is not None)

    async def head(self):
        await self.until(lambda: self.fields is not None)
        return self

    async def done(self):
        """Waits for the end; fails if the stream was reset."""
        await self.until(lambda: self.ended)
        check(self.reset_code is None, f"the stream was reset with {self.reset_code!r}")
        return self


class WtStream:
    """One WebTransport stream: all bytes so far, and how each direction ended."""

    def __init__(self, stream_id):
        self.stream_id = stream_id
        self.data = bytearray()
        self.ended = False
        self.reset_code = None
        self.stop_code = None
        self.changed = asyncio.Condition()

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(condition)
        return self

    async def done(self):
        await self.until(lambda: self.ended or self.reset_code is not None)
        check(self.reset_code is None, f"the stream was reset with {self.reset_code!r}")
        return bytes(self.data)


class Session:
    """A WebTransport session: its CONNECT exchange, capsules, datagrams and the server's streams."""

    def __init__(self, peer, exchange):
        self.peer = peer
        self.exchange = exchange
        self.id = exchange.stream_id
        self.datagrams = asyncio.Queue()
        self.incoming = asyncio.Queue()

    def open(self, unidirectional=False):
        """Opens a stream in this session."""
        stream_id = self.peer.http.create_webtransport_stream(self.id, unidirectional)
        stream = WtStream(stream_id)
        self.peer.streams[stream_id] = stream
        self.peer.transmit()
        return stream

    def send(self, stream, data, end=False):
        self.peer._quic.send_stream_data(stream.stream_id, data, end)
        self.peer.transmit()

    def datagram(self, data):
        self.peer.http.send_datagram(self.id, data)
        self.peer.transmit()

    def capsule(self, kind, value, end=False):
        data = encode_uint_var(kind) + encode_uint_var(len(value)) + value
        self.peer.http.send_data(self.id, data, end)
        self.peer.transmit()

    def close(self, code, reason):
        self.capsule(WT_CLOSE_SESSION, code.to_bytes(4, "big") + reason.encode(), end=True)

    def capsules(self):
        """All complete capsules that the server sent, as (type, value)."""
        found, buffer = [], Buffer(data=bytes(self.exchange.body))
        with contextlib.suppress(BufferReadError):
            while not buffer.eof():
                kind, size = buffer.pull_uint_var(), buffer.pull_uint_var()
                found.append((kind, buffer.pull_bytes(size)))
        return found

    async def capsule_of(self, kind):
        """Waits for a capsule of that type and returns its value."""

        def values():
            return [value for k, value in self.capsules() if k == kind]

        await self.exchange.until(lambda: values() or self.exchange.ended)
        check(values(), f"no capsule {kind:#x}; saw {self.capsules()}")
        return values()[0]


class Peer(QuicConnectionProtocol):
    """One connection to the server under test."""

    speaks = Connection

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = self.speaks(self._quic)
        self.exchanges = {}
        self.streams = {}
        self.sessions = {}
        self.uni = {}
        self.goaways = []
        self.closed_with = None
        self.changed = asyncio.Condition()
        self.authority = None

    # What a test does.

    async def settings(self):
        """Waits for the server's SETTINGS."""
        await self.until(lambda: self.http.received_settings is not None)
        return self.http.received_settings

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(lambda: condition() or self.closed_with is not None)
        check(condition(), f"the connection was closed: {self.closed_with}")

    def start(self, method, path, fields=(), body=b"", end=True, pseudo=()):
        """Sends a request; its Exchange fills as the answer arrives."""
        exchange = Exchange(self._quic.get_next_available_stream_id())
        self.exchanges[exchange.stream_id] = exchange
        if method == "HEAD":
            self.http.heads.add(exchange.stream_id)
        head = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", self.authority.encode()),
            (b":path", path.encode()),
            *pseudo,
            *fields,
        ]
        self.http.send_headers(exchange.stream_id, head, end_stream=end and not body)
        if body:
            self.http.send_data(exchange.stream_id, body, end)
        self.transmit()
        return exchange

    async def get(self, path, fields=()):
        return await self.start("GET", path, fields).done()

    async def connect_session(self, path, fields=()):
        """Extended CONNECT for WebTransport; returns the Session, whatever the status is."""
        settings = await self.settings()
        check(settings.get(0x2B603742) == 1, f"no ENABLE_WEBTRANSPORT in {settings}")
        exchange = self.start(
            "CONNECT",
            path,
            [(b"sec-webtransport-http3-draft02", b"1"), *fields],
            end=False,
            pseudo=[(b":protocol", b"webtransport")],
        )
        session = self.sessions[exchange.stream_id] = Session(self, exchange)
        await exchange.head()
        return session

    async def session(self, path, fields=()):
        """A WebTransport session that the server accepted."""
        session = await self.connect_session(path, fields)
        check(session.exchange.fields, f"CONNECT was reset: {session.exchange.reset_code}")
        check(session.exchange.status == 200, f"CONNECT {path}: {session.exchange.status}")
        return session

    # What the network does.

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.closed_with = (event.error_code, event.reason_phrase)
            for exchange in self.exchanges.values():
                if not exchange.ended and exchange.reset_code is None:
                    exchange.reset_code = f"connection closed: {self.closed_with}"
        elif isinstance(event, StreamReset):
            self._on_both(event.stream_id, "reset_code", event.error_code)
        elif isinstance(event, StopSendingReceived):
            self._on_both(event.stream_id, "stop_code", event.error_code)
        elif isinstance(event, StreamDataReceived):
            own = self.streams.get(event.stream_id)
            if own is not None and event.stream_id % 4 == 0:
                own.data += event.data
                own.ended |= event.end_stream
                self._wake()
                return
            if event.stream_id % 4 == 3:
                self._tap_control(event)
        for happened in self.http.handle_event(event):
            self._http_event(happened)
        self._wake()

    def _on_both(self, stream_id, attribute, code):
        for table in (self.exchanges, self.streams):
            if stream_id in table:
                setattr(table[stream_id], attribute, code)

    def _http_event(self, event):
        if isinstance(event, HeadersReceived):
            exchange = self.exchanges[event.stream_id]
            status = dict(event.headers).get(b":status", b"")
            if exchange.fields is not None:
                exchange.trailers = event.headers
            elif status.startswith(b"1"):
                exchange.interim.append(event.headers)
            else:
                exchange.fields = event.headers
            exchange.ended |= event.stream_ended
        elif isinstance(event, DataReceived):
            exchange = self.exchanges[event.stream_id]
            exchange.body += event.data
            exchange.ended |= event.stream_ended
        elif isinstance(event, DatagramReceived):
            if event.stream_id in self.sessions:
                self.sessions[event.stream_id].datagrams.put_nowait(event.data)
        elif isinstance(event, WebTransportStreamDataReceived):
            stream = self.streams.get(event.stream_id)
            if stream is None:
                stream = self.streams[event.stream_id] = WtStream(event.stream_id)
                self.sessions[event.session_id].incoming.put_nowait(stream)
            stream.data += event.data
            stream.ended |= event.stream_ended

    def _tap_control(self, event):
        # Servers' unidirectional streams: keep the control stream's bytes and read GOAWAY in them.
        kept = self.uni.setdefault(event.stream_id, bytearray())
        if kept[:1] not in (b"", b"\0"):
            return
        kept += event.data
        if kept[:1] != b"\0":
            return
        goaways, buffer = [], Buffer(data=bytes(kept[1:]))
        with contextlib.suppress(BufferReadError):
            while not buffer.eof():
                kind, size = buffer.pull_uint_var(), buffer.pull_uint_var()
                value = buffer.pull_bytes(size)
                if kind == FrameType.GOAWAY:
                    goaways.append(Buffer(data=value).pull_uint_var())
        self.goaways = goaways

    def _wake(self):
        asyncio.ensure_future(self._notify())

    async def _notify(self):
        waiting = [self, *self.exchanges.values(), *self.streams.values()]
        for one in waiting:
            async with one.changed:
                one.changed.notify_all()


@contextlib.asynccontextmanager
async def peer(server, cafile=None, kind=Peer, **settings):
    """A connected Peer. The self-signed certificate is the only trusted one: it is verified."""
    defaults = dict(
        is_client=True,
        alpn_protocols=H3_ALPN,
        cafile=str(cafile or server.cert),
        max_datagram_frame_size=65536,
        max_data=8 << 20,
        max_stream_data=4 << 20,
        idle_timeout=30,
        verify_mode=ssl.CERT_REQUIRED,
    )
    configuration = QuicConfiguration(**{**defaults, **settings})
    try:
        async with connect(
            server.host, server.port, configuration=configuration, create_protocol=kind
        ) as client:
            client.authority = server.authority
            yield client
    except ConnectionError as error:
        raise Failed(f"connection to {server.authority}: {error}") from error
