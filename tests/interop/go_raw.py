"""quic-go with protocols of its own on QUIC, as client and as server of `aqueduct quic`."""

import asyncio
import contextlib
import itertools
import os
import pathlib

from harness import (
    WORK,
    Listener,
    Suite,
    certificates,
    check,
    go_server,
    noise,
    run_case,
    run_program,
    same,
)

PROGRAM = pathlib.Path(os.environ.get("INTEROP_GO", WORK / "go")) / "quic"
LARGEST = (1 << 62) - 1
CODES = (0, 7, LARGEST)
MB = 1024 * 1024
NO_ALPN = 0x178
PROTOCOLS = "echo,reset,stop,close,push"

suite = Suite("quic-go and protocols of its own")


class World:
    def __init__(self, listener, server):
        self.listener = listener
        self.server = server

    async def client(self, case, listener=None, protocol="echo", **values):
        """Runs a case of quic-go; returns what it printed, and the lines of ours before."""
        listener = listener or self.listener
        return await run_case(
            listener,
            case,
            *(PROGRAM, "client", case, f"quic://{listener.host}:{listener.port}"),
            *("--ca", listener.cert, "--protocols", protocol),
            *(f"{name}={value}" for name, value in values.items()),
        )

    async def ours(self, *arguments, stdin=b"", alpn="echo"):
        """`aqueduct quic connect` to quic-go; and the number of lines that it had printed before."""
        since = len(self.server.lines)
        names = itertools.chain.from_iterable(("--alpn", name) for name in alpn.split(","))
        place = self.server.ready["address"]
        status, out, err = await run_program(
            *("quic", "connect", place, *names, "--cacert", self.server.ca, *arguments), stdin=stdin
        )
        return status, out, err, since

    async def fine(self, *arguments, **options):
        status, out, err, since = await self.ours(*arguments, **options)
        same(status, 0, f"exit status ({err.strip()})")
        return out, since

    async def fails(self, words, *arguments, **options):
        status, _, err, _ = await self.ours(*arguments, **options)
        same(status, 1, f"exit status ({err.strip()})")
        check(words in err, f"`{words}` is not in: {err.strip()}")

    async def noticed(self, since, **fields):
        wanted = lambda line: all(line.get(key) == value for key, value in fields.items())
        line = await asyncio.to_thread(self.server.wait_line, wanted, 10, since)
        check(line, f"quic-go saw no {fields}: {self.server.lines[since:]}")


# ---- quic-go as client, `aqueduct quic listen`


@suite.case("client: 4 MB come back on a stream, and an empty one")
async def streams(world):
    for size in (0, 1, 4 * MB):
        seen, _ = await world.client("streams", size=size)
        same(seen["protocol"], "echo", "protocol")


@suite.case("client: 1,000 streams one after another, and 100 at once")
async def many(world):
    await world.client("streams", count=1000, size=10)
    await world.client("at-once", count=100, size=3000)


@suite.case("client: unidirectional streams come back as such")
async def one_way(world):
    for size in (0, 1, 300_000):
        await world.client("one-way", size=size)


@suite.case("client: datagrams come back")
async def datagrams(world):
    await world.client("datagrams", count=50)


@suite.case("client: its resets and stops come back with their codes")
async def codes(world):
    for case, event in (("reset", "stream_reset"), ("stop", "stream_stopped")):
        for code in CODES:
            seen, since = await world.client(case, code=code)
            same(seen, {"code": code, "remote": True}, case)
            await world.listener.event(event, since=since, code=code)


@suite.case("client: close codes and reasons both ways")
async def closes(world):
    for code in CODES:
        _, since = await world.client("close", code=code, reason="good bye")
        await world.listener.event("closed", since=since, code=code, reason="good bye")
        options = ("--once", "--code", code, "--reason", "good bye")
        with contextlib.closing(Listener("echo", *options)) as listener:
            seen, _ = await world.client("closed", listener=listener)
            same(seen, {"code": code, "reason": "good bye", "remote": True}, "close")


@suite.case("client: a protocol that nobody speaks is told so, 0x178")
async def no_protocol(world):
    seen, _ = await world.client("mismatch", protocol="other")
    same(seen, {"code": NO_ALPN, "remote": True}, "error")
    await world.client("streams", protocol="other,echo")


@suite.case("client: another address by active migration, and streams go on")
async def moved(world):
    seen, since = await world.client("move")
    line = await world.listener.event("moved", since=since)
    same(line["remote"].rsplit(":", 1)[1], seen["address"].rsplit(":", 1)[1], "port")


# ---- quic-go as server, `aqueduct quic connect`


@suite.case("server: 4 MB through a pipe and back")
async def piped(world):
    for data in (b"", b"x", noise(4 * MB)):
        out, since = await world.fine(stdin=data)
        check(out == data, f"{len(data)} bytes came back otherwise")
        await world.noticed(since, event="closed", code=0, remote=True)


@suite.case("server: unidirectional streams both ways, and a stream that it opens")
async def piped_one_way(world):
    data = noise(300_000)
    out, _ = await world.fine("--uni", "--accept", stdin=data)
    check(out == data, "otherwise")
    out, _ = await world.fine("--accept", alpn="push", stdin=b"me")
    same(out, b"who? me", "output")


@suite.case("server: lines are datagrams and come back as lines")
async def lines(world):
    wanted = [b"line %d" % number for number in range(20)]
    out, _ = await world.fine("--datagrams", "--quiet", "1s", stdin=b"\n".join(wanted))
    same(sorted(out.split(b"\n")[:-1]), sorted(wanted), "lines")


@suite.case("server: reset and stop codes both ways")
async def told_codes(world):
    for code in CODES:
        text = b"%d\n" % code
        await world.fails(f"reset the stream with code {code}", alpn="reset", stdin=text)
        words = f"stopped the stream with code {code}"
        await world.fails(words, "--no-fin", alpn="stop", stdin=text)
        _, _, _, since = await world.ours("--reset", code, stdin=b"abc")
        await world.noticed(since, event="stream", code=code, remote=True)
        # A write meets with it where there is enough to write.
        _, _, _, since = await world.ours("--stop", code, stdin=noise(MB))
        await world.noticed(since, event="stream", code=code, remote=True)


@suite.case("server: close codes and reasons both ways")
async def told_closes(world):
    for code in CODES:
        words = f"closed by the peer with code {code}: reason {code}"
        await world.fails(words, alpn="close", stdin=b"%d\n" % code)
        out, since = await world.fine("--code", code, "--reason", "good bye", stdin=b"abc")
        same(out, b"abc", "output")
        await world.noticed(since, event="closed", code=code, reason="good bye", remote=True)


@suite.case("server: a protocol that it does not speak is named")
async def unspoken(world):
    await world.fails("the server does not speak nothing (ALPN)", alpn="nothing")
    out, _ = await world.fine(alpn="nothing,echo", stdin=b"abc")
    same(out, b"abc", "output")


@contextlib.asynccontextmanager
async def world():
    folder = WORK / "go-raw-certs"
    certificates(folder)
    options = ("--protocols", PROTOCOLS)
    async with go_server(PROGRAM, folder, *options, log="go-quic.log") as server:
        with contextlib.closing(Listener("echo", "--echo")) as listener:
            yield World(listener, server)


if __name__ == "__main__":
    suite.main(world)
