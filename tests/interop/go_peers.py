"""quic-go and webtransport-go, as clients and as servers of `aqueduct`."""

import asyncio
import contextlib
import json
import os
import pathlib
import sys
import urllib.parse

from harness import (
    WORK,
    Aqueduct,
    Program,
    Suite,
    certificates,
    check,
    go_server,
    pattern,
    run_aqueduct,
    run_case,
    same,
)

PEERS = pathlib.Path(os.environ.get("INTEROP_GO", WORK / "go"))
CODES = (0, 29, 30, 255, 0xFFFFFFFF)
MB = 1024 * 1024
DRAFT = "draft-15/16"
CLOSES = 50
FAREWELL = "/close?code=4242&reason=" + urllib.parse.quote("good bye")

suite = Suite("quic-go and webtransport-go")


class World:
    """`aqueduct serve`, and servers of the peers by name."""

    def __init__(self, server, others):
        self.server = server
        self.others = others

    async def client(self, program, case, target, protocols="", **values):
        """Runs a case of a client; returns what it printed, and the server's lines before."""
        return await run_case(
            self.server,
            case,
            PEERS / program,
            "client",
            case,
            f"https://{self.server.authority}{target}",
            *("--ca", self.server.cert),
            *(("--protocols", protocols) if protocols else ()),
            *(f"{name}={value}" for name, value in values.items()),
        )

    async def http(self, case, target, **values):
        return (await self.client("http3", case, target, **values))[0]

    async def session(self, case, target="/echo", **values):
        """A case of the newest client."""
        return await self.client("webtransport", case, target, **values)

    async def ours(self, command, other, target, *arguments, **options):
        """Runs `aqueduct COMMAND` against a server; returns status, standard output, stderr."""
        other = self.others[other]
        url = f"https://{other.ready['address']}{target}"
        trust = ("--cacert", other.ca)
        return await run_aqueduct(command, url, *arguments, *trust, **options)

    async def get(self, target, *arguments):
        status, out, err = await self.ours("get", "http3", target, *arguments)
        same(status, 0, f"exit status ({err.strip()})")
        return out

    async def wt(self, target, *arguments, other="webtransport"):
        status, out, err = await self.ours("wt", other, target, *arguments, "--json")
        return status, [json.loads(line) for line in out.splitlines()], err

    async def noticed(self, other, event, since):
        """The first event of this name that a server prints."""
        named = lambda line: line.get("event") == event
        seen = await asyncio.to_thread(self.others[other].wait_line, named, 10, since)
        check(seen, f"the server saw no {event}")
        return seen


# ---- quic-go's HTTP/3 client, our server


@suite.case("http3 client: statuses, an interim response, a reset by its code")
async def answers(world):
    seen = await world.http("get", "/status/404")
    same((seen["status"], seen["interim"]), (404, []), "answer")
    check(seen["date"], "the answer has no date")
    seen = await world.http("get", "/early")
    same((seen["status"], seen["interim"]), (200, [103]), "answer")
    seen = await world.http("get", "/reset?code=0x10b")
    same(seen, {"interim": [], "error": 0x10B, "remote": True}, "reset")


@suite.case("http3 client: 1 MB down, up, and both")
async def megabyte(world):
    same((await world.http("bytes", f"/bytes/{MB}", size=MB))["status"], 200, "status")
    await world.http("sha256", "/sha256", size=MB)
    for size in (0, 1, MB):
        same((await world.http("echo", "/echo", size=size))["size"], size, "echo")


@suite.case("http3 client: trailers both ways")
async def trailed(world):
    same((await world.http("trailers", "/echo"))["trailer"], "of all", "trailer")


@suite.case("http3 client: 150 requests at once over one connection")
async def many_requests(world):
    same(await world.http("many", "/echo", count=150, size=3000), {"echoed": 150}, "echoes")


@suite.case("http3 client: a download that it gives up leaves the next one alone")
async def given_up_download(world):
    same((await world.http("leave", "/bytes"))["size"], 1000, "the next")


@suite.case("http3 client: a slow reader gets all of it when our server is told to end")
async def slow(world):
    server = Aqueduct("--demo", log="aqueduct-go-slow.log")
    url = f"https://{server.authority}/bytes/{3 * MB}"
    command = [PEERS / "http3", "client", "slow", url, "--ca", server.cert, f"size={3 * MB}"]
    reader = Program([str(argument) for argument in command], "go-http3-slow.log")
    try:
        begun = lambda line: line.get("event") == "begun"
        check(await asyncio.to_thread(reader.wait_line, begun, 10), "it has not begun")
        server.interrupt()
        status = await asyncio.to_thread(reader.child.wait, 20)
        same(status, 0, f"exit status of the reader; see {reader.log}")
        same(await asyncio.to_thread(server.child.wait, 20), 0, "exit status of the server")
    finally:
        reader.stop()
        server.stop()


@suite.case(f"http3 client: {CLOSES} sessions closed on one connection, each with code and reason")
async def closes(world):
    since = len(world.server.lines)
    same(await world.http("sessions", "/echo", count=CLOSES), {"closed": CLOSES}, "closed")
    for number in range(CLOSES):
        seen = await world.server.event("session_closed", since=since, code=number)
        same(seen["reason"], f"session {number}", "reason")


@suite.case("http3 client: a large field within the limit and beyond it, which is 431")
async def fields(world):
    for size, status in ((1000, 200), (60_000, 200), (70_000, 431), (2_000_000, 431)):
        seen = await world.http("field", "/headers", size=size)
        same(seen, {"status": status, "arrived": status == 200, "after": 200}, f"{size} bytes")


@suite.case("http3 client: the second connection resumes the first")
async def resumed(world):
    same(await world.http("resume", "/status/200"), {"resumed": [False, True]}, "resumed")


@suite.case("http3 client: a connection moves to another socket between two downloads")
async def moved(world):
    same(await world.http("move", "/bytes"), {"moved": True}, "moved")


# ---- webtransport-go's client, our server


@suite.case("webtransport-go client: sessions, and the drafts it speaks, new and old")
async def accepted(world):
    for program, dialect in (("webtransport", DRAFT), ("webtransport-older", "draft-07..12")):
        seen, since = await world.client(program, "connect", "/echo")
        check(seen["accepted"], f"rejected: {seen}")
        opened = await world.server.event("session_opened", since=since)
        print(f"# {program} client: {opened['dialect']}")
        same(opened["dialect"], dialect, "dialect")


@suite.case("webtransport-go client: streams that either side resets right after their headers")
async def reset_at_once(world):
    count = 60
    seen, since = await world.session("resets", count=count, code=77)
    # Each comes back as a stream that is reset as soon as it is open.
    same(seen, {"codes": {"0": count}}, "codes that came back")
    resets = [line for line in world.server.lines[since:] if line.get("event") == "stream_reset"]
    same([line["code"] for line in resets], [77] * count, "codes that came")


@suite.case("webtransport-go client: the older one, echoes and codes")
async def older(world):
    client = "webtransport-older"
    for case in ("bidi", "uni", "datagram"):
        same((await world.client(client, case, "/echo", size=1000))[0], {"echoed": 1000}, case)
    seen, _ = await world.client(client, "given-up", "/reset?code=29")
    same(seen, {"reset": 29, "stopped": 29}, "codes")


@suite.case("webtransport-go client: echoes of all kinds, several sizes")
async def echoes(world):
    for size in (0, 1, 63, 70000, 3_000_000):
        same((await world.session("bidi", size=size))[0], {"echoed": size}, "bidi")
    for size in (0, 1, 70000):
        same((await world.session("uni", size=size))[0], {"echoed": size}, "uni")
    for size in (0, 32, 1100):
        same((await world.session("datagram", size=size))[0], {"echoed": size}, "datagram")


@suite.case("webtransport-go client: streams and datagram from the server (/push)")
async def push(world):
    seen, _ = await world.session("push", "/push")
    check(min(seen.values()) > 0, f"sizes {seen}")


@suite.case("webtransport-go client: 20 sessions at once")
async def many_sessions(world):
    same((await world.session("many", count=20, size=5000))[0], {"sessions": 20}, "sessions")


@suite.case("webtransport-go client: the server's close code and reason arrive")
async def server_closes(world):
    for code in (0, 4242, 0xFFFFFFFF):
        seen, _ = await world.session("closed", f"/close?code={code}&reason=good%20bye")
        same(seen, {"code": code, "reason": "good bye"}, "close")


@suite.case("webtransport-go client: its close code and reason arrive")
async def client_closes(world):
    for code in (0, 1717, 0xFFFFFFFF):
        for _ in range(20):
            _, since = await world.session("close", code=code, reason="all done")
            over = lambda line: line.get("event") == "session_closed"
            seen = await asyncio.to_thread(world.server.wait_line, over, 1, since)
            # The newest often ends the connection before it has sent its close.
            if seen:
                break
        same(seen, {"event": "session_closed", "code": code, "reason": "all done"}, "close")


@suite.case("webtransport-go client: rejections")
async def rejected(world):
    for target, status in (("/nothing", 404), ("/reject?status=403", 403), ("/reject?status=429", 429)):
        seen, _ = await world.session("connect", target)
        check(not seen["accepted"], f"{target} was accepted")
        same(seen["status"], status, "status")


@suite.case("webtransport-go client: the server's reset and stop codes arrive")
async def given_up(world):
    for code in CODES:
        seen, _ = await world.session("given-up", f"/reset?code={code}")
        same(seen, {"reset": code, "stopped": code}, f"codes for {code}")


@suite.case("webtransport-go client: its reset and stop codes arrive")
async def give_up(world):
    for reset, stop in ((62, 91), (0, 0xFFFFFFFF)):
        seen, since = await world.session("give-up", reset=reset, stop=stop)
        same(seen, {"echoed": 1000}, "echo on the next stream")
        await world.server.event("stream_reset", since=since, code=reset)
        await world.server.event("stream_stopped", since=since, code=stop)


@suite.case("webtransport-go client: an application protocol is selected")
async def protocol(world):
    seen, since = await world.session("connect", protocols="chat-9,chat-1")
    same(seen["protocol"], "chat-1", "protocol the client sees")
    opened = await world.server.event("session_opened", since=since)
    same(opened["protocol"], "chat-1", "protocol the server selected")
    seen, _ = await world.session("connect", protocols="chat-9")
    same(seen, {"accepted": True, "protocol": ""}, "with nothing in common")


# ---- quic-go's HTTP/3 server, our client


@suite.case("http3 server: get, 1 MB, several URLs at once")
async def fetched(world):
    same(await world.get("/bytes/10"), pattern(10), "body")
    check(await world.get(f"/bytes/{MB}") == pattern(MB), "1 MB differs")
    host = f"https://{world.others['http3'].ready['address']}"
    urls = [f"{host}/bytes/{size}" for size in range(1, 40)]
    out = await world.get("/bytes/0", *urls)
    check(out == b"".join(pattern(size) for size in range(40)), "40 bodies differ")


@suite.case("http3 server: POST echo, small and 1 MB")
async def posted(world):
    for size in (1, MB):
        path = WORK / "to-quic-go.bin"
        path.write_bytes(pattern(size))
        check(await world.get("/echo", "-d", f"@{path}") == pattern(size), "the echo differs")
        path.unlink()


@suite.case("http3 server: interim response and trailers")
async def heads(world):
    status, _, err = await world.ours("get", "http3", "/early", "-i")
    same(status, 0, "exit status")
    check("103" in err and "preload" in err, f"no early hints: {err}")
    status, _, err = await world.ours("get", "http3", "/trailers", "-i")
    same(status, 0, "exit status")
    check("x-trailer-a: 1" in err and "x-trailer-b: 2" in err, f"no trailers: {err}")


@suite.case("http3 server: statuses, and an answer that it breaks off")
async def failures(world):
    status, _, err = await world.ours("get", "http3", "/status/404")
    same(status, 4, "exit status")
    check("404" in err, f"stderr does not name 404: {err.strip()}")
    status, _, err = await world.ours("get", "http3", "/abort")
    same(status, 1, f"exit status of a part ({err.strip()})")


@suite.case("http3 server: a session is refused, and why")
async def no_sessions(world):
    status, _, err = await world.ours("wt", "http3", "/echo")
    same(status, 4, f"exit status ({err.strip()})")
    check("WebTransport" in err, f"stderr does not tell why: {err.strip()}")


# ---- webtransport-go's server, our client


@suite.case(f"webtransport-go server: probe tells that {DRAFT} is spoken, the newest it announces")
async def probed(world):
    for other, flow in (("webtransport", False), ("webtransport-flow", True)):
        status, out, err = await world.ours("probe", other, "/echo", "--json")
        same(status, 0, f"exit status ({err.strip()})")
        session = json.loads(out)["session"]
        check(session["opened"], f"no session: {session}")
        same((session["dialect"], session["flow_control"]), (DRAFT, flow), "negotiated")
    print(f"# webtransport-go server: {DRAFT}")


@suite.case("webtransport-go server: wt echo", seconds=60)
async def wt_echo(world):
    for other in ("webtransport", "webtransport-flow"):
        for size, count in (("64KiB", 1), ("3MB", 1), ("1000", 20)):
            arguments = ("echo", "--size", size, "--count", str(count))
            status, lines, err = await world.wt("/echo", *arguments, other=other)
            same(status, 0, f"exit status for {count} of {size} ({err.strip()})")
            kinds = [line["kind"] for line in lines if line["event"] == "echo"]
            same(kinds, ["bidi", "uni", "datagram"], "kinds")


async def told(world, target, *arguments):
    """Every session that is closed with code 4242 and a reason tells both, and was opened."""

    async def one():
        status, lines, err = await world.wt(target, *arguments)
        same(status, 1, f"exit status ({err.strip()})")
        check("4242" in err and "good bye" in err, f"stderr tells neither code nor reason: {err}")
        same([line["event"] for line in lines][:1], ["session"], "the session's opening")

    for _ in range(CLOSES // 5):
        await asyncio.gather(*(one() for _ in range(5)))


@suite.case(f"webtransport-go server: its close code and reason arrive, {CLOSES} times")
async def wt_closed(world):
    await told(world, FAREWELL)


@suite.case(f"webtransport-go server: with streams and data under way, too, {CLOSES} times")
async def wt_closed_busy(world):
    await told(world, FAREWELL.replace("close", "busy", 1))


@suite.case(f"webtransport-go server: in the middle of an echo, too, {CLOSES} times")
async def wt_interrupted(world):
    # It ends the streams before it says why, and our writing may notice that first.
    await told(world, FAREWELL.replace("close", "interrupt", 1), "echo", "--size", "1MB")


@suite.case("webtransport-go server: our close arrives as a session's end with code 0")
async def wt_closes(world):
    since = len(world.others["webtransport"].lines)
    status, _, err = await world.wt("/echo")
    same(status, 0, f"exit status ({err.strip()})")
    seen = await world.noticed("webtransport", "session_closed", since)
    same((seen["code"], seen["reason"], seen["remote"]), (0, "", True), "code and reason")


@suite.case("webtransport-go server: a rejection is exit status 4")
async def wt_rejected(world):
    for target, code in (("/nothing", "404"), ("/reject?status=403", "403")):
        status, _, err = await world.wt(target)
        same(status, 4, f"exit status ({err.strip()})")
        check(code in err, f"stderr does not name {code}: {err.strip()}")


@suite.case("webtransport-go server: its reset codes arrive")
async def wt_reset(world):
    for code in CODES:
        arguments = ("echo", "--only", "bidi", "--size", "10")
        status, _, err = await world.wt(f"/reset?code={code}", *arguments)
        same(status, 1, f"exit status ({err.strip()})")
        check(str(code) in err, f"stderr does not name {code}: {err.strip()}")


@suite.case("webtransport-go server: it selects a protocol of ours")
async def wt_protocol(world):
    since = len(world.others["webtransport"].lines)
    arguments = ("--protocols", "chat-9,chat-1", "echo", "--only", "bidi")
    status, lines, err = await world.wt("/echo", *arguments)
    same(status, 0, f"exit status ({err.strip()})")
    opened = next(line for line in lines if line["event"] == "session")
    same(opened["protocol"], "chat-1", "protocol")
    seen = await world.noticed("webtransport", "session", since)
    same(seen["token"], "webtransport-h3", "token")


# It leaves at the end of this case, so it comes last.
@suite.case("http3 server: what it sends after its GOAWAY arrives whole")
async def leaves(world):
    since = len(world.others["http3"].lines)
    check(await world.get("/leave/3000000") == pattern(3_000_000), "3 MB differ")
    seen = await world.noticed("http3", "left", since)
    same(seen["error"], "<nil>", "how it left")


@contextlib.asynccontextmanager
async def world():
    for name in ("http3", "webtransport", "webtransport-older"):
        if not (PEERS / name).exists():
            sys.exit(f"{PEERS / name} is missing: tests/interop/run builds it")
    folder = WORK / "go-certs"
    certificates(folder)
    server = Aqueduct("--demo", "--protocols", "chat-1,chat-2", log="aqueduct-go.log")
    async with contextlib.AsyncExitStack() as ends:
        ends.callback(server.stop)
        others = {}
        for name, *options in (
            ("http3",),
            ("webtransport", "--protocols", "chat-1"),
            ("webtransport-flow", "window=65536", "streams=10"),
        ):
            program = PEERS / name.removesuffix("-flow")
            other = go_server(program, folder, *options, log=f"go-{name}.log")
            others[name] = await ends.enter_async_context(other)
        yield World(server, others)


if __name__ == "__main__":
    suite.main(world)
