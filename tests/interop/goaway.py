"""GOAWAY under load (rows D7, D11): aioquic and quic-go, as clients and as servers of `aqueduct`.

Many requests are under way when the server goes away. Each is answered whole or told as unprocessed,
none is both, and what was told as unprocessed is not in the log of the server.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import shutil

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import FrameType, encode_frame
from aioquic.h3.events import HeadersReceived
from aioquic_peer import peer
from aioquic_server import Handler, serving

from harness import (
    WORK,
    Aqueduct,
    Suite,
    certificates,
    check,
    go_server,
    missing,
    pattern,
    run_aqueduct,
    run_case,
    same,
)

QUIC_GO = pathlib.Path(os.environ.get("INTEROP_GO", WORK / "go")) / "http3"
FOLDER = WORK / "goaway-certs"
REJECTED = 0x10B
# The requests of a run.
MANY = 60

suite = Suite("goaway under load")


# ---- our client


async def fetch(authority, paths, *more):
    """Fetches all at once; returns what was answered, by path, and what was told of the others."""
    folder = WORK / "goaway"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments = ["-Z", "--parallel-max", str(len(paths)), "--cacert", FOLDER / "ca.pem", *more]
    for number, path in enumerate(paths):
        arguments += [f"https://{authority}{path}", "-o", folder / str(number)]
    status, out, err = await run_aqueduct("get", "--json", *arguments)
    bodies = {
        path: (folder / str(number)).read_bytes()
        for number, path in enumerate(paths)
        if (folder / str(number)).exists()
    }
    shutil.rmtree(folder)
    failures = [json.loads(line) for line in out.splitlines()]
    failures = [line for line in failures if line["event"] == "error"]
    told = {line["url"].removeprefix(f"https://{authority}"): line for line in failures}
    same(len(told), len(failures), "each fails once")
    same(set(told) & set(bodies), set(), "answered and failed")
    same(set(told) | set(bodies), set(paths), "answered or failed")
    same(status, 1 if told else 0, f"exit status ({err.strip()[-300:]})")
    return bodies, told


def once(log, paths, what):
    """Every path is in the log once, and no other."""
    same(sorted(log), sorted(paths), what)


def unprocessed(told):
    for path, line in told.items():
        same(line["repeatable"], "safe", f"{path} ({line['message']})")


class Leaving(Handler):
    """It takes so many requests on its first connection, and goes away with more under way."""

    TAKES = 25
    processed = []
    held, refused = None, None

    def http_event(self, event):
        if not isinstance(event, HeadersReceived):
            return
        path = dict(event.headers)[b":path"].decode()
        if self.number > 1:
            Leaving.processed.append(path)
            self.send(event.stream_id, path)
            return
        if self.held is None:
            self.held, self.refused = [], []
            asyncio.get_running_loop().call_later(0.3, self.leave)
        if event.stream_id >= 4 * self.TAKES:
            self.refused.append(event.stream_id)
        else:
            Leaving.processed.append(path)
            self.held.append((event.stream_id, path))

    def leave(self):
        """Every other of those that it does not take is rejected; the client knows of the rest."""
        frame = encode_frame(FrameType.GOAWAY, encode_uint_var(4 * self.TAKES))
        self._quic.send_stream_data(self.http._local_control_stream_id, frame)
        for stream in self.refused[::2]:
            self._quic.reset_stream(stream, REJECTED)
            self._quic.stop_stream(stream, REJECTED)
        for stream, path in self.held:
            self.send(stream, path)
        self.transmit()

    def send(self, stream, path):
        self.http.send_headers(stream, [(b":status", b"200")], False)
        self.http.send_data(stream, path.encode(), True)


def leaving_aioquic():
    Leaving.processed, Handler.connections = [], 0
    return serving(FOLDER, Leaving)


PATHS = [f"/it/{number}" for number in range(MANY)]


@suite.case("our client, aioquic server: what it does not take is told, and not in its log")
async def aioquic_leaves(_world):
    async with leaving_aioquic() as authority:
        bodies, told = await fetch(authority, PATHS)
    same(len(bodies), Leaving.TAKES, "answered")
    check(all(body.decode() == path for path, body in bodies.items()), "bodies are mixed up")
    unprocessed(told)
    once(Leaving.processed, bodies, "its log is what was answered")


@suite.case("our client, aioquic server: --retry asks for the rest on another connection, once")
async def aioquic_leaves_retried(_world):
    async with leaving_aioquic() as authority:
        bodies, told = await fetch(authority, PATHS, "--retry", "2")
    same((len(bodies), told), (MANY, {}), "answered")
    once(Leaving.processed, PATHS, "its log is what was asked for")
    check(Handler.connections > 1, "there was one connection")


@suite.case("our client, quic-go server that goes away with 100 under way and more that wait")
async def quic_go_leaves(_world):
    if missing(QUIC_GO):
        return
    # quic-go lets a client have a hundred streams: what is behind them waits.
    paths = [f"/hold/1s/{number}" for number in range(50)] + ["/goaway"]
    paths += [f"/hold/1s/{number}" for number in range(51, 160)]
    async with go_server(QUIC_GO, FOLDER, log="go-http3-goaway.log") as server:
        bodies, told = await fetch(server.ready["address"], paths, "--connect-timeout", "2s")
        left = lambda line: line.get("event") == "left"
        seen = await asyncio.to_thread(server.wait_line, left, 10)
        same((seen or {}).get("error"), "<nil>", "how it left")
        log = [line["path"] for line in server.lines if line.get("event") == "request"]
    unprocessed(told)
    check(told, "nothing was told as unprocessed")
    once(log, bodies, "its log is what was answered")


# ---- our server


def log_of(server):
    """The paths of the requests that our server has begun."""
    return re.findall(r'request method=GET path="(/bytes/[0-9]+)"', server.log.read_text())


@contextlib.asynccontextmanager
async def ours():
    server = await asyncio.to_thread(lambda: Aqueduct("--demo", "-v", log="aqueduct-goaway.log"))
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


@suite.case("aioquic client, our server: answered or rejected, and the rejected are not in our log")
async def from_aioquic(_world):
    async with ours() as server:
        async with peer(server) as client:
            await client.settings()
            asked = {}

            def ask(count):
                for _ in range(count):
                    size = 20_000 + len(asked)
                    asked[f"/bytes/{size}"] = size, client.start("GET", f"/bytes/{size}")

            ask(MANY)
            client.start("GET", "/goaway")
            # It goes on asking whatever it hears.
            while not any(it.reset_code is not None for _, it in asked.values()):
                ask(1)
                await asyncio.sleep(0.002)
                check(len(asked) < 2_000, "nothing was rejected")
            ask(20)
            answered = set()
            for path, (size, exchange) in asked.items():
                await exchange.until(lambda: exchange.ended)
                if exchange.reset_code is None:
                    check(bytes(exchange.body) == pattern(size), f"{path} differs")
                    answered.add(path)
                else:
                    same(exchange.reset_code, REJECTED, f"code of {path}")
            limit = client.goaways[-1]
            above = [it for _, it in asked.values() if it.stream_id >= limit]
            check(above and all(it.reset_code for it in above), "taken above the GOAWAY")
        once(log_of(server), answered, "our log is what was answered")


@suite.case("quic-go client, our server: answered or refused by itself, and those are not in our log")
async def from_quic_go(_world):
    if missing(QUIC_GO):
        return
    async with ours() as server:
        arguments = ("client", "goaway", f"https://{server.authority}", "--ca", server.cert)
        arguments = (*arguments, "count=150", "size=20000")
        seen, _ = await run_case(server, "goaway", QUIC_GO, *arguments)
        failed, answered = seen["failed"], set(seen["answered"]) - {"/goaway"}
        log = [path for path in log_of(server) if path != "/bytes/1"]
        once(log, answered, f"our log is what was answered; it failed with {set(failed.values())}")
        same(len(failed) + len(seen["answered"]), 150, "each has one end")


@contextlib.asynccontextmanager
async def world():
    certificates(FOLDER)
    yield None


if __name__ == "__main__":
    suite.main(world)
