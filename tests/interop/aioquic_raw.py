"""aioquic with protocols of its own on QUIC, as client and as server of `aqueduct quic`."""

import asyncio
import contextlib
import itertools
import json

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    HandshakeCompleted,
    ProtocolNegotiated,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from harness import (
    WORK,
    Failed,
    Listener,
    Nat,
    Suite,
    certificates,
    check,
    noise,
    run_program,
    same,
)

LARGEST = (1 << 62) - 1
CODES = (0, 7, LARGEST)
MB4 = 4 * 1024 * 1024
NO_ALPN = 0x178

suite = Suite("aioquic and protocols of its own")


# ---- aioquic as client, `aqueduct quic listen`


class Client(QuicConnectionProtocol):
    """Keeps what happens on each stream."""

    last = None  # how a connection ended last

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.data, self.ended, self.resets, self.stops = {}, set(), {}, {}
        self.datagrams, self.closed = [], None
        self.changed = asyncio.Condition()

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self.data.setdefault(event.stream_id, bytearray()).extend(event.data)
            if event.end_stream:
                self.ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, StopSendingReceived):
            self.stops[event.stream_id] = event.error_code
        elif isinstance(event, DatagramFrameReceived):
            self.datagrams.append(event.data)
        elif isinstance(event, ConnectionTerminated):
            self.closed = Client.last = event
        asyncio.ensure_future(self._tell())

    async def _tell(self):
        async with self.changed:
            self.changed.notify_all()

    async def until(self, done, what, seconds=20):
        async def wait():
            async with self.changed:
                await self.changed.wait_for(done)

        try:
            await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            raise Failed(f"no {what}; closed: {self.closed}") from None

    def say(self, stream, data, end=True):
        self._quic.send_stream_data(stream, data, end)
        self.transmit()

    async def echoed(self, data):
        stream = self._quic.get_next_available_stream_id()
        self.say(stream, data)
        await self.until(lambda: stream in self.ended, f"end of stream {stream}")
        check(bytes(self.data.pop(stream, b"")) == data, f"stream {stream} came back otherwise")
        return stream


class World:
    def __init__(self, listener, server):
        self.listener = listener
        self.server = server
        self.ca = WORK / "aioquic-raw-certs" / "ca.pem"

    @contextlib.asynccontextmanager
    async def client(self, *names, listener=None, port=None):
        listener = listener or self.listener
        configuration = QuicConfiguration(
            is_client=True,
            alpn_protocols=list(names or ("echo",)),
            max_datagram_frame_size=65536,
            server_name="localhost",
        )
        configuration.load_verify_locations(str(listener.cert))
        port = port or listener.port
        async with connect(
            listener.host, port, configuration=configuration, create_protocol=Client
        ) as client:
            yield client

    async def ours(self, *arguments, stdin=b"", alpn="echo"):
        """`aqueduct quic connect` to aioquic's server, which remembers what it saw meanwhile."""
        Server.seen.clear()
        names = itertools.chain.from_iterable(("--alpn", name) for name in alpn.split(","))
        place = f"127.0.0.1:{self.server}"
        return await run_program(
            *("quic", "connect", place, *names, "--cacert", self.ca, *arguments), stdin=stdin
        )

    async def fine(self, *arguments, **options):
        status, out, err = await self.ours(*arguments, **options)
        same(status, 0, f"exit status ({err.strip()})")
        return out

    async def fails(self, words, *arguments, **options):
        status, _, err = await self.ours(*arguments, **options)
        same(status, 1, f"exit status ({err.strip()})")
        check(words in err, f"`{words}` is not in: {err.strip()}")


@suite.case("client: 4 MB come back on a stream, and an empty one")
async def streams(world):
    async with world.client() as client:
        for data in (b"", b"x", noise(MB4)):
            await client.echoed(data)


@suite.case("client: 1,000 streams one after another", 60)
async def many(world):
    async with world.client() as client:
        for number in range(1000):
            await client.echoed(b"number %d" % number)


@suite.case("client: unidirectional streams come back as such")
async def one_way(world):
    async with world.client() as client:
        for number, data in enumerate((b"", b"one way", noise(300_000))):
            client.say(client._quic.get_next_available_stream_id(is_unidirectional=True), data)
            back = 3 + 4 * number
            await client.until(lambda: back in client.ended, f"stream {back}")
            check(bytes(client.data.get(back, b"")) == data, f"stream {back} is otherwise")


@suite.case("client: datagrams come back")
async def datagrams(world):
    async with world.client() as client:
        sent = [b"datagram %d" % number for number in range(50)]
        for datagram in sent:
            client._quic.send_datagram_frame(datagram)
        client.transmit()
        await client.until(lambda: len(client.datagrams) == 50, "datagrams")
        same(client.datagrams, sent, "datagrams")


@suite.case("client: its resets come back with their codes, and so do its stops")
async def codes(world):
    async with world.client() as client:
        for code in CODES:
            stream = client._quic.get_next_available_stream_id()
            client.say(stream, b"to be reset", False)
            await client.until(lambda: len(client.data.get(stream, b"")) == 11, "echo")
            client._quic.reset_stream(stream, code)
            client.transmit()
            await client.until(lambda: stream in client.resets, "reset")
            same(client.resets[stream], code, "reset code")
            await world.listener.event("stream_reset", stream=stream, code=code)
        for code in CODES:
            stream = client._quic.get_next_available_stream_id()
            client.say(stream, b"to be stopped", False)
            await client.until(lambda: len(client.data.get(stream, b"")) == 13, "echo")
            client._quic.stop_stream(stream, code)
            client.transmit()
            await client.until(lambda: stream in client.stops, "stop")
            same(client.stops[stream], code, "stop code")
            await world.listener.event("stream_stopped", stream=stream, code=code)


@suite.case("client: the code and the reason that it closes with are told")
async def closes(world):
    for code in CODES:
        since = len(world.listener.lines)
        async with world.client() as client:
            await client.echoed(b"hello")
            client.close(code, f"reason {code}")
        line = await world.listener.event("closed", since=since)
        same((line["code"], line["reason"]), (code, f"reason {code}"), "close")


@suite.case("client: it is closed with any code, behind the last byte")
async def closed(world):
    for code in CODES:
        options = ("--once", "--code", code, "--reason", "good bye")
        with contextlib.closing(Listener("bye", *options)) as listener:
            async with world.client("bye", listener=listener) as client:
                stream = client._quic.get_next_available_stream_id()
                client.say(stream, noise(100_000))
                await client.until(lambda: client.closed, "close")
                check(stream in client.ended, "no end of the stream before the close")
                told = (client.closed.error_code, client.closed.reason_phrase)
                same(told, (code, "good bye"), "close")
            same(await asyncio.to_thread(listener.child.wait, 10), 0, "exit status")


@suite.case("client: a protocol that nobody speaks is told so, 0x178")
async def no_protocol(world):
    Client.last = None
    try:
        async with world.client("other"):
            raise Failed("it was connected")
    except ConnectionError:
        same(Client.last.error_code, NO_ALPN, "code")
    async with world.client("other", "echo") as client:
        await client.echoed(b"the second will do")


@suite.case("client: keys are updated and streams go on")
async def key_update(world):
    async with world.client() as client:
        for number in range(5):
            await client.echoed(b"before update %d" % number)
            client._quic.request_key_update()
            await client.echoed(noise(20_000))


@suite.case("client: another address by rebinding, and the stream goes on")
async def rebinding(world):
    async with Nat(world.listener.host, world.listener.port) as nat:
        since = len(world.listener.lines)
        async with world.client(port=nat.port) as client:
            stream = client._quic.get_next_available_stream_id()
            client.say(stream, b"before", False)
            await client.until(lambda: bytes(client.data.get(stream, b"")) == b"before", "echo")
            await nat.move()
            client.say(stream, noise(200_000))
            await client.until(lambda: stream in client.ended, "end")
            check(bytes(client.data[stream]) == b"before" + noise(200_000), "otherwise")
            line = await world.listener.event("moved", since=since)
            same(line["remote"], nat.back, "address")


# ---- aioquic as server, `aqueduct quic connect`


class Server(QuicConnectionProtocol):
    """Does what the protocol is called."""

    seen = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.name, self.backs, self.data = None, {}, {}

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.name = event.alpn_protocol
        elif isinstance(event, HandshakeCompleted):
            if self.name == "update":
                self._quic.request_key_update()
            elif self.name == "push-bidi":
                self._quic.send_stream_data(self._quic.get_next_available_stream_id(), b"who? ")
            elif self.name == "push-uni":
                stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
                self._quic.send_stream_data(stream, noise(100_000), True)
        elif isinstance(event, StreamDataReceived):
            self.on_data(event.stream_id, event.data, event.end_stream)
        elif isinstance(event, StreamReset):
            Server.seen.append(("reset", event.error_code))
            if self.name == "stop":
                self._quic.send_stream_data(event.stream_id, b"", True)
            elif event.stream_id % 4 == 0:
                self._quic.reset_stream(event.stream_id, event.error_code)
        elif isinstance(event, StopSendingReceived):
            Server.seen.append(("stopped", event.error_code))
        elif isinstance(event, DatagramFrameReceived):
            self._quic.send_datagram_frame(event.data)
        elif isinstance(event, ConnectionTerminated):
            Server.seen.append(("closed", event.error_code, event.reason_phrase))
        self.transmit()

    def on_data(self, stream, data, end):
        if self.name in ("reset", "stop", "close"):
            self.data[stream] = self.data.get(stream, b"") + data
            if end or self.data[stream].endswith(b"\n"):
                self.act(stream, int(self.data[stream]))
            return
        to = stream
        if stream % 4 == 2:
            if stream not in self.backs:
                self.backs[stream] = self._quic.get_next_available_stream_id(True)
            to = self.backs[stream]
        # What is stopped in the same packet takes nothing any more.
        with contextlib.suppress(RuntimeError, ValueError):
            self._quic.send_stream_data(to, data, end)

    def act(self, stream, code):
        if self.name == "reset":
            self._quic.reset_stream(stream, code)
        elif self.name == "stop":
            # It is answered with a reset (RFC 9000, section 3.5).
            self._quic.stop_stream(stream, code)
        else:
            self.close(code, f"reason {code}")


async def saw(*wanted):
    """Waits until the server has seen this: it may come behind the end of the program."""
    for _ in range(500):
        if wanted in Server.seen:
            return
        await asyncio.sleep(0.01)
    raise Failed(f"the server saw {Server.seen}, not {wanted}")


@suite.case("server: 4 MB through a pipe and back")
async def piped(world):
    for data in (b"", b"x", noise(MB4)):
        check(await world.fine(stdin=data) == data, f"{len(data)} bytes came back otherwise")
    await saw("closed", 0, "")


@suite.case("server: unidirectional streams both ways")
async def piped_one_way(world):
    data = noise(300_000)
    check(await world.fine("--uni", "--accept", stdin=data) == data, "otherwise")
    same(await world.fine("--uni", stdin=data), b"", "output")
    check(await world.fine("--accept", alpn="push-uni") == noise(100_000), "otherwise")


@suite.case("server: a stream that it opens is answered")
async def answered(world):
    out = await world.fine("--accept", alpn="push-bidi", stdin=b"me")
    same(out, b"who? me", "output")


@suite.case("server: lines are datagrams and come back as lines")
async def lines(world):
    wanted = [b"line %d" % number for number in range(50)]
    out = await world.fine("--datagrams", "--quiet", "1s", stdin=b"\n".join(wanted))
    same(sorted(out.split(b"\n")[:-1]), sorted(wanted), "lines")


@suite.case("server: reset and stop codes both ways")
async def told_codes(world):
    for code in CODES:
        text = b"%d" % code
        await world.fails(f"reset the stream with code {code}", alpn="reset", stdin=text)
        words = f"stopped the stream with code {code}"
        await world.fails(words, "--no-fin", alpn="stop", stdin=text + b"\n")
        await world.ours("--reset", code, stdin=b"abc")
        await saw("reset", code)
        await world.ours("--stop", code, stdin=b"abc")
        await saw("stopped", code)


@suite.case("server: close codes and reasons both ways")
async def told_closes(world):
    for code in CODES:
        words = f"closed by the peer with code {code}: reason {code}"
        await world.fails(words, alpn="close", stdin=b"%d" % code)
        out = await world.fine("--code", code, "--reason", "good bye", stdin=b"abc")
        same(out, b"abc", "output")
        await saw("closed", code, "good bye")


@suite.case("server: a protocol that it does not speak is named")
async def unspoken(world):
    await world.fails("the server does not speak nothing (ALPN)", alpn="nothing")
    same(await world.fine(alpn="nothing,echo", stdin=b"abc"), b"abc", "output")


@suite.case("server: it updates its keys and the stream goes on")
async def its_key_update(world):
    check(await world.fine(alpn="update", stdin=noise(500_000)) == noise(500_000), "otherwise")


@suite.case("server: what was agreed on is shown")
async def agreed(world):
    out = await world.fine("--show", "--json", stdin=b"abc")
    first, *rest = map(json.loads, out.splitlines())
    same((first["event"], first["alpn"], first["resumed"]), ("connected", "echo", False), "line")
    same(first["parameters"]["initial_max_data"], 1048576, "limit")
    same("".join(line["text"] for line in rest), "abc", "output")


@contextlib.asynccontextmanager
async def world():
    folder = WORK / "aioquic-raw-certs"
    certificates(folder)
    names = ["echo", "reset", "stop", "close", "update", "push-bidi", "push-uni"]
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=names, max_datagram_frame_size=65536
    )
    configuration.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Server)
    port = server._transport.get_extra_info("sockname")[1]
    with contextlib.closing(Listener("echo", "--echo")) as listener:
        try:
            yield World(listener, port)
        finally:
            server.close()


if __name__ == "__main__":
    suite.main(world)
