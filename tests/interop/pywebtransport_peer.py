"""pywebtransport, which speaks drafts 15 and 16 with session flow control, as client and as server.

These drafts call for RESET_STREAM_AT, which neither side's QUIC has: both do without.
"""

import asyncio
import contextlib
import json
import logging
import socket
import ssl

from harness import WORK, Aqueduct, Failed, Suite, certificates, check, noise, run_aqueduct, same
from pywebtransport import ClientConfig, ServerConfig, WebTransportClient, WebTransportServer
from pywebtransport.exceptions import StreamError
from pywebtransport.types import EventType

suite = Suite("pywebtransport")
logging.disable(logging.CRITICAL)  # it reports what is provoked here as errors

DRAFT = "draft-15/16"
WINDOW = 64 * 1024
STREAMS = 10
# Set C: what browsers take, and drafts 15 and 16.
OURS = ["--dialects", "c", "--tolerate-missing-reset-stream-at", "--protocols", "chat-2,chat-1"]
OURS += ["--session-max-data", str(WINDOW), "--session-max-streams", str(STREAMS)]
LIMITS = {
    "initial_max_data": WINDOW,
    "initial_max_streams_bidi": STREAMS,
    "initial_max_streams_uni": STREAMS,
    "session_receive_window": WINDOW,
}


class World:
    def __init__(self, server, url, ca, seen):
        self.server = server
        self.url = url
        self.ca = ca
        self.seen = seen  # what its server noticed

    @contextlib.asynccontextmanager
    async def session(self, target="/echo", optimistic=False, **options):
        """A session of its client with our server."""
        config = ClientConfig(verify_mode=ssl.CERT_NONE, **LIMITS)
        async with WebTransportClient(config=config) as client:
            url = f"https://{self.server.authority}{target}"
            if optimistic:
                session = await client.connect_optimistic(url=url, timeout=10, **options)
            else:
                session = await client.connect(url=url, timeout=10, **options)
                await session.ensure_ready()
            # The library holds a session's connection weakly.
            connection = session.connection
            yield session
            with contextlib.suppress(Exception):
                await session.close()
            del connection

    async def wt(self, target, *arguments):
        """Runs `aqueduct wt` against its server."""
        trust = ("--cacert", self.ca, "--json")
        status, out, err = await run_aqueduct(
            "wt", self.url + target, *OURS, *arguments, *trust, seconds=50
        )
        return status, [json.loads(line) for line in out.splitlines()], err


def note(events, kind):
    """A future of the data of the first event of this kind."""
    seen = asyncio.get_running_loop().create_future()
    events.once(event_type=kind, handler=lambda event: seen.done() or seen.set_result(event.data))
    return seen


async def soon(seen):
    return await asyncio.wait_for(seen, 5)


async def echo(session, data):
    stream = await session.create_bidirectional_stream()
    _, back = await asyncio.gather(
        stream.write_all(data=data, end_stream=True), stream.read_all()
    )
    check(back == data, f"{len(data)} bytes sent, {len(back)} other bytes back")


@suite.case(f"client: a session in {DRAFT}, with session flow control")
async def accepted(world):
    since = len(world.server.lines)
    async with world.session():
        opened = await world.server.event("session_opened", since=since)
        print(f"# pywebtransport client: {opened['dialect']}")
        same((opened["dialect"], opened["flow_control"]), (DRAFT, True), "negotiated")


@suite.case("client: an application protocol is selected")
async def protocol(world):
    since = len(world.server.lines)
    async with world.session(wt_available_protocols=["chat-9", "chat-1"]) as session:
        opened = await world.server.event("session_opened", since=since)
        same((opened["protocol"], session.wt_protocol), ("chat-1", "chat-1"), "protocol")


@suite.case("client: bidirectional echo, several sizes")
async def bidi(world):
    async with world.session() as session:
        for size in (0, 1, 63, 1500, 40000):
            await echo(session, noise(size))


@suite.case("client: 2 MB through session windows of 64 KiB both ways", seconds=60)
async def windows(world):
    async with world.session() as session:
        await echo(session, noise(2_000_000))


@suite.case("client: more streams one after the other than a session may have ahead")
async def many(world):
    async with world.session() as session:
        for size in range(1, 3 * STREAMS):
            await echo(session, noise(size))


@suite.case("client: unidirectional echo")
async def uni(world):
    async with world.session() as session:
        stream = await session.create_unidirectional_stream()
        await stream.write_all(data=noise(5000), end_stream=True)
        async for answer in session.incoming_unidirectional_streams():
            check(await answer.read_all() == noise(5000), "the echo differs")
            break


@suite.case("client: datagram echo")
async def datagram(world):
    async with world.session() as session:
        for number in range(5):
            await session.send_datagram(data=b"datagram %d" % number)
            with contextlib.suppress(asyncio.TimeoutError):
                seen = await asyncio.wait_for(session.read_datagram(), 1)
                check(seen.startswith(b"datagram"), f"{seen} came back")
                return
        raise Failed("five datagrams, no echo")


@suite.case("client: streams from the server (/push)")
async def push(world):
    async with world.session("/push") as session:
        async for stream in session.incoming_bidirectional_streams():
            check(await stream.read_all(), "nothing on the bidirectional stream")
            break
        async for stream in session.incoming_unidirectional_streams():
            check(await stream.read_all(), "nothing on the unidirectional stream")
            break


@suite.case("client: the server's close code arrives")
async def closed(world):
    target = "/close?code=4242&reason=good%20bye"
    async with world.session(target, optimistic=True) as session:
        seen = note(session.events, EventType.SESSION_CLOSED)
        # The library keeps the reason to itself.
        same((await soon(seen))["error_code"], 4242, "code")


@suite.case("client: its close code and reason arrive")
async def close(world):
    since = len(world.server.lines)
    async with world.session() as session:
        await echo(session, b"first")
        await session.close(error_code=1717, reason="all done")
        seen = await world.server.event("session_closed", since=since, code=1717)
        same(seen["reason"], "all done", "reason")


@suite.case("client: the server's reset and stop codes arrive")
async def given_up(world):
    for code in (0, 29, 30, 0xFFFFFFFF):
        async with world.session(f"/reset?code={code}") as session:
            stream = await session.create_bidirectional_stream()
            stopped = note(stream.events, EventType.STREAM_STOP_SENDING_RECEIVED)
            reading = asyncio.create_task(stream.read_all())
            # The stream's header alone makes the server stop it, maybe before this.
            with contextlib.suppress(StreamError):
                await stream.write(data=b"hello")
            seen = [(await soon(stopped))["error_code"]]
            try:
                await soon(reading)
            except StreamError as error:
                seen.append(error.error_code)
            same(seen, [code, code], f"codes for {code}")


@suite.case("client: its reset and stop codes arrive")
async def give_up(world):
    since = len(world.server.lines)
    async with world.session() as session:
        stream = await session.create_bidirectional_stream()
        await stream.write(data=b"hello")
        same(await stream.readexactly(size=5), b"hello", "echo")
        await stream.stop_receiving(error_code=91)
        await stream.reset(error_code=62)
        await world.server.event("stream_reset", since=since, code=62)
        await world.server.event("stream_stopped", since=since, code=91)
        await echo(session, b"next")


@suite.case("client: a rejection")
async def rejected(world):
    since = len(world.server.lines)
    try:
        async with world.session("/reject?status=403"):
            pass
    except Exception as error:
        check("Timeout" not in type(error).__name__, f"no answer: {error}")
        await world.server.event("session_rejected", since=since, status=403)
        return
    raise Failed("the session was accepted")


# ---- its server, our client


@suite.case(f"server: probe negotiates {DRAFT} with flow control")
async def probe(world):
    arguments = ["--cacert", world.ca, "--json", *OURS]
    status, out, err = await run_aqueduct("probe", f"{world.url}/echo", *arguments, seconds=25)
    same(status, 0, f"exit status ({err.strip()})")
    session = json.loads(out)["session"]
    check(session["opened"], f"no session: {session}")
    print(f"# pywebtransport server: {session['dialect']}")
    same((session["dialect"], session["flow_control"]), (DRAFT, True), "negotiated")


@suite.case("server: it selects a protocol of ours")
async def wt_protocol(world):
    status, lines, err = await world.wt("/echo", "echo", "--only", "bidi", "--size", "10")
    same(status, 0, f"exit status ({err.strip()})")
    same(lines[0]["protocol"], "chat-1", "protocol")
    same(world.seen[-1]["offered"], ["chat-2", "chat-1"], "protocols offered")


@suite.case("server: wt echo, more streams than the session may have ahead", seconds=60)
async def wt_echo(world):
    for size, count in (("1000", 3 * STREAMS), ("40000", 4)):
        status, lines, err = await world.wt("/echo", "echo", "--size", size, "--count", str(count))
        same(status, 0, f"exit status for {count} of {size} ({err.strip()})")
        kinds = [line["kind"] for line in lines if line["event"] == "echo"]
        same(kinds, ["bidi", "uni", "datagram"], "kinds")


@suite.case("server: wt echo of 2 MB through session windows of 64 KiB", seconds=60)
async def wt_windows(world):
    arguments = ("echo", "--only", "bidi", "--size", "2MB", "--timeout", "40s")
    status, _, err = await world.wt("/echo", *arguments)
    same(status, 0, f"exit status ({err.strip()})")


@suite.case("server: wt ping")
async def wt_ping(world):
    status, _, err = await world.wt("/echo", "ping", "--count", "5", "--interval", "10ms")
    same(status, 0, f"exit status ({err.strip()})")


@suite.case("server: its close code and reason arrive")
async def wt_closed(world):
    status, _, err = await world.wt("/close")
    same(status, 1, f"exit status ({err.strip()})")
    check("4242" in err and "good bye" in err, f"stderr tells neither code nor reason: {err}")


@suite.case("server: its reset code arrives")
async def wt_reset(world):
    status, _, err = await world.wt("/reset", "echo", "--only", "bidi", "--size", "10")
    same(status, 1, f"exit status ({err.strip()})")
    check("4242" in err, f"stderr does not tell the code: {err}")


@suite.case("server: a rejection is exit status 4")
async def wt_rejected(world):
    status, _, err = await world.wt("/nothing")
    same(status, 4, f"exit status ({err.strip()})")
    check("404" in err, f"stderr does not name 404: {err.strip()}")


class Handler:
    """Its server: sessions of all connections, until the tasks are cancelled."""

    def __init__(self, server):
        self.server = server
        self.seen = []

    async def run(self):
        async with asyncio.TaskGroup() as tasks:
            async for connection in self.server.incoming_connections():
                tasks.create_task(self.connection(connection))

    async def connection(self, connection):
        async with asyncio.TaskGroup() as tasks:
            async for session in connection.incoming_sessions():
                tasks.create_task(self.session(session))

    async def session(self, session):
        self.seen.append({"path": session.path, "offered": session.wt_available_protocols})
        # A session that its client has ended is no failure of the server.
        with contextlib.suppress(Exception):
            if session.path not in ("/echo", "/close", "/reset"):
                return await session.reject(status_code=404)
            common = "chat-1" if "chat-1" in (session.wt_available_protocols or []) else None
            await session.accept(wt_protocol=common)
            if session.path == "/close":
                await session.close(error_code=4242, reason="good bye")
            else:
                await self.echo(session, session.path == "/reset")

    async def echo(self, session, reset):
        async def datagrams():
            with contextlib.suppress(Exception):
                while True:
                    await session.send_datagram(data=await session.read_datagram())

        async def copy(stream, back):
            with contextlib.suppress(Exception):
                async for chunk in stream:
                    await back.write_all(data=chunk)
                await back.write(data=b"", end_stream=True)

        async def bidi():
            async for stream in session.incoming_bidirectional_streams():
                if reset:
                    await stream.reset(error_code=4242)
                    await stream.stop_receiving(error_code=4242)
                else:
                    tasks.create_task(copy(stream, stream))

        async def uni():
            async for stream in session.incoming_unidirectional_streams():
                tasks.create_task(answer(stream))

        async def answer(stream):
            with contextlib.suppress(Exception):
                await copy(stream, await session.create_unidirectional_stream())

        async with asyncio.TaskGroup() as tasks:
            for work in (datagrams(), bidi(), uni()):
                tasks.create_task(work)


def free_port():
    """A UDP port that is free at the moment: the library does not let the system choose."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def world():
    folder = WORK / "pywebtransport-certs"
    certificates(folder)
    config = ServerConfig(
        bind_host="127.0.0.1",
        bind_port=free_port(),
        certfile=str(folder / "cert.pem"),
        keyfile=str(folder / "key.pem"),
        **LIMITS,
    )
    ours = Aqueduct("--demo", *OURS, log="aqueduct-pywebtransport.log")
    try:
        async with WebTransportServer(config=config) as server:
            await server.listen()
            port = server.local_addresses[0][1]
            handler = Handler(server)
            serving = asyncio.create_task(handler.run())
            yield World(ours, f"https://127.0.0.1:{port}", folder / "ca.pem", handler.seen)
            serving.cancel()
            await asyncio.wait([serving], timeout=5)
    finally:
        ours.stop()


if __name__ == "__main__":
    suite.main(world)
