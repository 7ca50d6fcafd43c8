"""aioquic as WebTransport client (draft 02 dialect) against `aqueduct serve --demo`."""

import asyncio
import contextlib

from aioquic_peer import (
    WT_CLOSE_SESSION,
    WT_DRAIN_SESSION,
    WT_SESSION_GONE,
    peer,
    to_http_code,
)
from harness import MB10, Aqueduct, Failed, Suite, check, noise, pattern, same

suite = Suite("aioquic webtransport client")


async def soon(queue, what, seconds=10):
    """The next item of `queue`."""
    try:
        return await asyncio.wait_for(queue.get(), seconds)
    except asyncio.TimeoutError:
        raise Failed(f"no {what} within {seconds} s") from None


async def echo_bidi(session, data):
    stream = session.open()
    session.send(stream, data, end=True)
    return await stream.done()


async def echo_datagram(session, data):
    # A datagram may be lost: five tries, each with its own answer awaited.
    for _ in range(5):
        session.datagram(data)
        with contextlib.suppress(asyncio.TimeoutError):
            while await asyncio.wait_for(session.datagrams.get(), 1) != data:
                pass
            return
    raise Failed(f"five datagrams of {len(data)} bytes, no echo")


@suite.case("a session is accepted, with the draft 02 answer field")
async def accepted(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        same(session.exchange.field("sec-webtransport-http3-draft"), "draft02", "draft field")
        same(session.exchange.field("content-length"), None, "content-length")


@suite.case("bidirectional echo, several sizes")
async def bidi(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        for size in (0, 1, 63, 1500, 70000):
            check(await echo_bidi(session, noise(size)) == noise(size), f"{size} bytes differ")


@suite.case("bidirectional echo streams before the end is sent")
async def bidi_streams(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        stream = session.open()
        session.send(stream, b"one,")
        await stream.until(lambda: bytes(stream.data) == b"one,")
        session.send(stream, b"two", end=True)
        same(await stream.done(), b"one,two", "echo")


@suite.case("unidirectional echo comes on a new stream of the server")
async def uni(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        for size in (1, 5000):
            stream = session.open(unidirectional=True)
            session.send(stream, noise(size), end=True)
            answer = await soon(session.incoming, "stream")
            same(answer.stream_id % 4, 3, "kind of the server's stream")
            check(await answer.done() == noise(size), f"{size} bytes differ")


@suite.case("datagram echo, several sizes")
async def datagrams(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        for size in (0, 1, 100, 1100):
            await echo_datagram(session, noise(size))


@suite.case("10 MB bidirectional echo", seconds=120)
async def large(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        body = noise(MB10)
        check(await echo_bidi(session, body) == body, "the echo differs")


@suite.case("two sessions interleaved on one connection do not cross")
async def two_sessions(server):
    async with peer(server) as client:
        a, b = await asyncio.gather(client.session("/echo"), client.session("/echo"))
        check(a.id != b.id, "one session id")
        pairs = [(s, s.open(), mark) for _ in range(6) for s, mark in ((a, b"A"), (b, b"B"))]
        for round_ in range(3):
            for session, stream, mark in pairs:
                session.send(stream, mark * (100 + round_), end=round_ == 2)
            a.datagram(b"A%d" % round_)
            b.datagram(b"B%d" % round_)
        for session, stream, mark in pairs:
            same(await stream.done(), mark * 303, "echo")
        for session, mark in ((a, b"A"), (b, b"B")):
            stream = session.open(unidirectional=True)
            session.send(stream, mark * 50, end=True)
        for session, mark in ((a, b"A"), (b, b"B")):
            same(await (await soon(session.incoming, "stream")).done(), mark * 50, "uni echo")
            first = await soon(session.datagrams, "datagram")
            same(first[:1], mark, "session of a datagram")
            while not session.datagrams.empty():
                same(session.datagrams.get_nowait()[:1], mark, "session of a datagram")


@suite.case("closing one session leaves the other and HTTP requests alone")
async def close_one(server):
    async with peer(server) as client:
        a, b = await client.session("/echo"), await client.session("/echo")
        a.close(7, "done with it")
        await a.exchange.until(lambda: a.exchange.ended)
        same(await echo_bidi(b, b"still here"), b"still here", "echo in the other session")
        same(bytes((await client.get("/bytes/20")).body), pattern(20), "HTTP body")


@suite.case("a session and plain requests share the connection")
async def shared(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        stream = session.open()
        session.send(stream, b"half,")
        answers = [client.start("GET", f"/bytes/{n}") for n in (10, 20000)]
        session.send(stream, b"whole", end=True)
        for exchange, size in zip(answers, (10, 20000)):
            await exchange.done()
            check(bytes(exchange.body) == pattern(size), f"/bytes/{size} differs")
        same(await stream.done(), b"half,whole", "echo")


@suite.case("/push: a bidi stream, a uni stream and a datagram from the server")
async def push(server):
    async with peer(server) as client:
        session = await client.session("/push")
        kinds = {}
        for _ in range(2):
            stream = await soon(session.incoming, "stream")
            await stream.until(lambda s=stream: s.data)
            kinds[stream.stream_id % 4] = stream
        same(sorted(kinds), [1, 3], "kinds of the server's streams")
        await kinds[3].done()
        check(await soon(session.datagrams, "datagram") != b"", "an empty datagram")


@suite.case("/close: the capsule has code and reason, then FIN")
async def close(server):
    async with peer(server) as client:
        session = await client.session("/close?code=4242&reason=good%20bye")
        value = await session.capsule_of(WT_CLOSE_SESSION)
        same(int.from_bytes(value[:4], "big"), 4242, "code")
        same(value[4:], b"good bye", "reason")
        await session.exchange.done()
        same((await client.get("/bytes/1")).status, 200, "status afterwards")


@suite.case("our close code and reason reach the server's application")
async def close_seen(server):
    async with peer(server) as client:
        since = len(server.lines)
        session = await client.session("/echo")
        session.close(77, "aioquic leaves")
        seen = await server.event("session_closed", since=since, code=77)
        same(seen.get("reason"), "aioquic leaves", "reason")
        await session.exchange.until(lambda: session.exchange.ended)


@suite.case("FIN without a capsule is a close with 0 and no reason")
async def fin(server):
    async with peer(server) as client:
        since = len(server.lines)
        session = await client.session("/echo")
        client.http.send_data(session.id, b"", True)
        client.transmit()
        seen = await server.event("session_closed", since=since)
        same((seen.get("code"), seen.get("reason")), (0, ""), "code and reason")


@suite.case("a session's streams end with WT_SESSION_GONE when it closes")
async def gone(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        stream = session.open()
        session.send(stream, b"open")
        await stream.until(lambda: bytes(stream.data) == b"open")
        session.close(1, "")
        await stream.until(lambda: stream.reset_code is not None)
        same(stream.reset_code, WT_SESSION_GONE, "reset code")


@suite.case("/reset: client streams are reset and stopped with the mapped code")
async def reset(server):
    async with peer(server) as client:
        for code in (0, 29, 30, 0xFFFFFFFF):
            session = await client.session(f"/reset?code={code}")
            stream = session.open()
            session.send(stream, b"hello")
            await stream.until(lambda s=stream: s.reset_code is not None)
            same(stream.reset_code, to_http_code(code), f"RESET_STREAM for {code}")
            await stream.until(lambda s=stream: s.stop_code is not None)
            same(stream.stop_code, to_http_code(code), f"STOP_SENDING for {code}")


@suite.case("reset and stop codes of the client reach the server's application")
async def reset_seen(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        stream = session.open()
        session.send(stream, b"hello")
        await stream.until(lambda: bytes(stream.data) == b"hello")
        since = len(server.lines)
        client._quic.stop_stream(stream.stream_id, to_http_code(31))
        client._quic.reset_stream(stream.stream_id, to_http_code(62))
        client.transmit()
        await server.event("stream_reset", since=since, code=62)
        await server.event("stream_stopped", since=since, code=31)
        same(await echo_bidi(session, b"next"), b"next", "echo on another stream")


@suite.case("/reject?status=N answers N and no session")
async def reject(server):
    async with peer(server) as client:
        for status in (403, 429, 500):
            session = await client.connect_session(f"/reject?status={status}")
            same(session.exchange.status, status, "status")
        same((await client.connect_session("/nothing")).exchange.status, 404, "unknown path")
        same(await echo_bidi(await client.session("/echo"), b"x"), b"x", "echo afterwards")


@suite.case("/drain: WT_DRAIN_SESSION, and the session still works")
async def drain(server):
    async with peer(server) as client:
        session = await client.session("/drain")
        same(await session.capsule_of(WT_DRAIN_SESSION), b"", "value of the capsule")
        check(not session.exchange.ended, "the session ended")


@suite.case("/goaway: GOAWAY is sent and the session goes on")
async def goaway(server):
    async with peer(server) as client:
        session = await client.session("/goaway")
        await client.until(lambda: client.goaways)
        check(client.goaways[-1] > session.id, "GOAWAY refuses a session already accepted")
        check(not session.exchange.ended, "the session ended")


@suite.case("unknown capsules are skipped, whole or split")
async def unknown_capsules(server):
    async with peer(server) as client:
        session = await client.session("/echo")
        session.capsule(0x29 * 3 + 0x17, noise(3000))
        # A capsule header split over two DATA frames.
        client.http.send_data(session.id, b"\x40", False)
        client.http.send_data(session.id, b"\x52\x03ab", False)
        client.http.send_data(session.id, b"c", False)
        client.transmit()
        same(await echo_bidi(session, b"after"), b"after", "echo afterwards")


@suite.case("streams and datagrams sent before the 2xx are kept for the session")
async def early_streams(server):
    async with peer(server) as client:
        await client.settings()
        pending = asyncio.ensure_future(client.connect_session("/echo"))
        await asyncio.sleep(0)
        session = next(iter(client.sessions.values()))
        stream = session.open()
        session.send(stream, b"eager", end=True)
        session.datagram(b"eager too")
        await pending
        same(await soon(session.datagrams, "datagram"), b"eager too", "datagram")
        same(await stream.done(), b"eager", "echo")


@contextlib.asynccontextmanager
async def world():
    server = Aqueduct(log="aqueduct-webtransport.log")
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    suite.main(world)
