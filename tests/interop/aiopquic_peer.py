"""aiopquic, which is picoquic, as WebTransport client and as server.

It has RESET_STREAM_AT and says so by the number that the parameter had before it was given one for good.
It announces every draft and asks as those before 15 do.
"""

import asyncio
import contextlib
import json
import socket

from aiopquic.asyncio.webtransport import connect_webtransport, serve_webtransport
from harness import WORK, Aqueduct, Failed, Suite, certificates, check, noise, run_aqueduct, same

suite = Suite("aiopquic")

DRAFT = "draft-13/14"
COUNT = 30
CODE = 4242


class World:
    def __init__(self, server, urls, ca):
        self.server = server
        self.urls = urls
        self.ca = ca

    @contextlib.asynccontextmanager
    async def session(self, target="/echo"):
        """A session of its client with our server."""
        address = (self.server.host, self.server.port)
        async with connect_webtransport(
            *address, target, sni="localhost", verify_peer=False
        ) as session:
            yield session

    async def wt(self, target, *arguments):
        """Runs `aqueduct wt` against its server."""
        trust = ("--cacert", self.ca, "--json")
        status, out, err = await run_aqueduct(
            "wt", self.urls[target], *arguments, *trust, seconds=25
        )
        return status, [json.loads(line) for line in out.splitlines()], err


async def read(session, stream):
    """What comes on a stream, and the code with which it is reset, or None."""
    data = b""
    async with asyncio.timeout(5):
        async for event in session.receive_stream_data(stream):
            if type(event).__name__ == "WebTransportStreamReset":
                return data, event.error_code
            data += bytes(event.data)
    return data, None


async def new_stream(session):
    """The next stream that our server opens."""
    async with asyncio.timeout(5):
        async for event in session.events():
            if type(event).__name__ == "WebTransportNewStream":
                return event.stream_id
    raise Failed("the session is over")


@suite.case(f"client: a session in {DRAFT}, with nothing asked for")
async def accepted(world):
    since = len(world.server.lines)
    async with world.session():
        opened = await world.server.event("session_opened", since=since)
        print(f"# aiopquic client: {opened['dialect']}")
        same(opened["dialect"], DRAFT, "negotiated")


@suite.case("client: bidirectional echo, several sizes")
async def bidi(world):
    async with world.session() as session:
        for size in (1, 63, 1500, 40000):
            stream = await session.create_stream()
            session.send_stream_data(stream, noise(size), end_stream=True)
            same(await read(session, stream), (noise(size), None), f"echo of {size}")


@suite.case("client: streams that it resets behind their headers")
async def resets(world):
    since = len(world.server.lines)
    async with world.session() as session:
        streams = [await session.create_stream(bidir=False) for _ in range(COUNT)]
        for stream in streams:
            session.send_stream_data(stream, noise(2000))
        # Without its header on its way, it would send a plain RESET_STREAM.
        await asyncio.sleep(0.2)
        for stream in streams:
            session.reset_stream(stream, 77)
        for _ in streams:
            await world.server.event("stream_reset", since=since, code=77)
        # Each comes back as a stream that our server resets as soon as it is open.
        ends = [await read(session, await new_stream(session)) for _ in streams]
        same([code for _, code in ends], [0] * COUNT, "codes that came back")
    seen = [line for line in world.server.lines[since:] if line.get("event") == "stream_reset"]
    same([line["code"] for line in seen], [77] * COUNT, "codes that came")


@suite.case("client: the server's reset codes arrive")
async def given_up(world):
    for code in (0, 29, 30, 0xFFFFFFFF):
        async with world.session(f"/reset?code={code}") as session:
            stream = await session.create_stream()
            # The stream's header alone makes the server reset it, maybe before this.
            with contextlib.suppress(ConnectionError):
                session.send_stream_data(stream, b"hello")
            same(await read(session, stream), (b"", code), "code")


@suite.case(f"server: probe finds the older parameter, and {DRAFT} or later")
async def probe(world):
    arguments = ["--cacert", world.ca, "--json"]
    status, out, err = await run_aqueduct("probe", world.urls["/echo"], *arguments, seconds=25)
    same(status, 0, f"exit status ({err.strip()})")
    seen = json.loads(out)
    same(seen["transport_parameters"]["reset_stream_at"], True, "reset_stream_at")
    check(seen["session"]["opened"], f"no session: {seen['session']}")
    print(f"# aiopquic server: {seen['session']['dialect']}")


@suite.case("server: wt echo")
async def wt_echo(world):
    status, lines, err = await world.wt("/echo", "echo", "--only", "bidi", "--size", "40000")
    same(status, 0, f"exit status ({err.strip()})")
    check(any(line["event"] == "echo" for line in lines), f"no echo: {lines}")


@suite.case("server: its reset code arrives")
async def wt_reset(world):
    status, _, err = await world.wt("/reset", "echo", "--only", "bidi", "--size", "10")
    same(status, 1, f"exit status ({err.strip()})")
    check(str(CODE) in err, f"stderr does not tell the code: {err}")


async def serve(session):
    """Echoes bidirectional streams, or resets them."""

    async def answer(stream):
        if session.path_of_ours == "/reset":
            return session.reset_stream(stream, CODE)
        data, _ = await read(session, stream)
        await session.send_stream_data_drained(stream, data, end_stream=True)

    async with asyncio.TaskGroup() as tasks:
        async for event in session.events():
            if type(event).__name__ == "WebTransportNewStream":
                tasks.create_task(answer(event.stream_id))


def free_port():
    """A UDP port that is free at the moment: the library does not let the system choose."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def world():
    folder = WORK / "aiopquic-certs"
    certificates(folder)
    ours = Aqueduct("--demo", log="aqueduct-aiopquic.log")
    servers, urls = [], {}
    try:
        for path in ("/echo", "/reset"):

            async def handler(session, path=path):
                session.path_of_ours = path
                with contextlib.suppress(Exception):
                    await serve(session)

            port = free_port()
            files = {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}
            servers.append(
                await serve_webtransport("127.0.0.1", port, path, handler=handler, **files)
            )
            urls[path] = f"https://127.0.0.1:{port}{path}"
        yield World(ours, urls, folder / "ca.pem")
    finally:
        for server in servers:
            await server.aclose()
        ours.stop()


if __name__ == "__main__":
    suite.main(world)
