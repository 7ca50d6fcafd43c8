"""Resumption and early data (0-RTT): aioquic, quic-go and Caddy, as clients and as servers of `aqueduct`.

What becomes of early data is asked of both sides. A server that has lost its tickets, or that offers
less than it did, stands behind the same address as the one before: see `Relay`.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil

import caddy
from aioquic.asyncio import connect
from aioquic.h3.connection import H3_ALPN, H3Connection, Setting
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from aioquic_peer import Peer
from aioquic_server import Handler, serving

from harness import (
    WORK,
    Aqueduct,
    Relay,
    Suite,
    certificates,
    check,
    go_server,
    missing,
    run_aqueduct,
    run_case,
    same,
)

QUIC_GO = pathlib.Path(os.environ.get("INTEROP_GO", WORK / "go")) / "http3"
FOLDER = WORK / "early-certs"

suite = Suite("early data")


class FewerBlocked(H3Connection):
    """It takes less than it did: no streams that wait for the dynamic table."""

    def _get_local_settings(self):
        return {**super()._get_local_settings(), Setting.QPACK_BLOCKED_STREAMS: 0}


class OtherTable(H3Connection):
    """Its dynamic table is another."""

    def _get_local_settings(self):
        return {**super()._get_local_settings(), Setting.QPACK_MAX_TABLE_CAPACITY: 1024}


class EarlyHandler(Handler):
    """An aioquic server that tells what it took, and its tickets."""

    speaks = H3Connection

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = self.speaks(self._quic, enable_webtransport=True)
        elif self.http is not None:
            for happened in self.http.handle_event(event):
                self.http_event(happened)
            self.transmit()

    def resource(self, method, target, fields, body):
        word = b"accepted" if self._quic.tls.early_data_accepted else b"none"
        return 200, [], word + b"\n", None


class FewerBlockedHandler(EarlyHandler):
    speaks = FewerBlocked


class OtherTableHandler(EarlyHandler):
    speaks = OtherTable


class Tickets:
    """What an aioquic server knows of its tickets."""

    def __init__(self):
        self.by_id = {}

    def add(self, ticket):
        self.by_id[ticket.ticket] = ticket


def aioquic_server(tickets, handler=EarlyHandler):
    return serving(
        FOLDER,
        handler,
        session_ticket_handler=tickets.add,
        # Each serves once.
        session_ticket_fetcher=lambda identity: tickets.by_id.pop(identity, None),
    )


@contextlib.asynccontextmanager
async def aqueduct_server(*more):
    ours = ("--cert", str(FOLDER / "cert.pem"), "--key", str(FOLDER / "key.pem"), "--demo", *more)
    server = await asyncio.to_thread(lambda: Aqueduct(*ours, log="aqueduct-early.log"))
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


def quic_go_server(*options):
    return go_server(QUIC_GO, FOLDER, *options, log="go-http3-early.log")


# ---- our client


async def twice(*servers, path="/early-data", ca=FOLDER / "ca.pem", host="127.0.0.1"):
    """Asks two servers, one after the other, that are one to our client."""
    async with Relay(*servers) as relay:
        url = f"https://{relay.authority}{path}".replace("127.0.0.1", host)
        arguments = ("--early-data", "--reconnect", "--cacert", ca, url, url)
        folder = WORK / "early"
        folder.mkdir(exist_ok=True)
        bodies = [folder / "first", folder / "second"]
        outputs = [argument for body in bodies for argument in ("-o", body)]
        status, out, err = await run_aqueduct("get", "--json", *outputs, *arguments)
    lines = [json.loads(line) for line in out.splitlines()]
    responses = [line for line in lines if line["event"] == "response"]
    told = [body.read_text().strip() if body.exists() else None for body in bodies]
    shutil.rmtree(folder)
    return status, [line["early_data"] for line in responses], told, err


async def taken(*servers, **options):
    status, ours, theirs, err = await twice(*servers, **options)
    same((status, ours), (0, ["none", "accepted"]), f"our word ({err.strip()})")
    return theirs


async def not_taken(*servers, **options):
    status, ours, theirs, err = await twice(*servers, **options)
    same((status, ours), (0, ["none", "rejected"]), f"our word ({err.strip()})")
    return theirs


@suite.case("our client, aioquic server: taken")
async def to_aioquic(_world):
    async with aioquic_server(Tickets()) as server:
        same(await taken(server, server), ["none", "accepted"], "its word")


@suite.case("our client, aioquic server that has lost its tickets: rejected, sent again")
async def to_forgetful_aioquic(_world):
    async with aioquic_server(Tickets()) as before, aioquic_server(Tickets()) as after:
        same(await not_taken(before, after), ["none", "none"], "its word")


# RFC 9114 section 7.2.4.2, RFC 9204 section 3.2.3.
@suite.case("our client, aioquic server that takes it and then says otherwise in SETTINGS: its error")
async def to_lesser_aioquic(_world):
    for handler, error in (
        (FewerBlockedHandler, "H3_SETTINGS_ERROR"),
        (OtherTableHandler, "QPACK_DECODER_STREAM_ERROR"),
    ):
        tickets = Tickets()
        async with aioquic_server(tickets) as before, aioquic_server(tickets, handler) as after:
            status, ours, _, err = await twice(before, after)
        same((status, ours), (1, ["none"]), "the first alone is answered")
        check(error in err, f"no {error} is told: {err.strip()}")


@suite.case("our client, our server: taken; lost sessions: rejected, sent again")
async def to_ours(_world):
    async with aqueduct_server("--early-data") as before:
        same(await taken(before.authority, before.authority), ["none", "accepted"], "its word")
        async with aqueduct_server("--early-data") as after:
            seen = await not_taken(before.authority, after.authority)
            same(seen, ["none", "none"], "its word")


@suite.case("our client, our server without --early-data: none is tried")
async def to_ours_without(_world):
    async with aqueduct_server() as server:
        status, ours, theirs, err = await twice(server.authority, server.authority)
    same((status, ours, theirs), (0, ["none"] * 2, ["none"] * 2), err.strip())


@suite.case("our client, quic-go server: taken")
async def to_quic_go(_world):
    if missing(QUIC_GO):
        return
    async with quic_go_server() as server:
        address = server.ready["address"]
        same(await taken(address, address), ["none", "accepted"], "its word")


@suite.case("our client, quic-go server with another key, or that offers less: rejected, sent again")
async def to_other_quic_go(_world):
    if missing(QUIC_GO):
        return
    async with quic_go_server("tickets=a") as server:
        before = server.ready["address"]
        # The key is what it depends on.
        async with quic_go_server("tickets=a") as alike:
            seen = await taken(before, alike.ready["address"])
            same(seen, ["none", "accepted"], "its word")
        for options in (["tickets=b"], ["tickets=a", "datagrams=no"]):
            async with quic_go_server(*options) as after:
                seen = await not_taken(before, after.ready["address"])
                same(seen, ["none", "none"], f"its word, {options}")


@suite.case("our client, Caddy: taken; another Caddy, which has another key: rejected, sent again")
async def to_caddy(_world):
    if missing("caddy"):
        return
    async with caddy.world("caddy-early") as before, caddy.world("caddy-early-2") as after:
        one, other = (server.named.removeprefix("https://localhost:") for server in (before, after))
        one, other = f"127.0.0.1:{one}", f"127.0.0.1:{other}"
        bundle = WORK / "caddy-early-ca.pem"
        cas = [(server.folder / "ca.pem").read_text() for server in (before, after)]
        bundle.write_text("".join(cas))
        options = dict(path="/small.txt", ca=bundle, host="localhost")
        same(await taken(one, one, **options), ["from caddy"] * 2, "bodies")
        same(await not_taken(one, other, **options), ["from caddy"] * 2, "bodies")


# ---- our server


async def aioquic_asks(server, ticket=None):
    """What aioquic and our server say of a connection, and a ticket."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=H3_ALPN,
        cafile=str(FOLDER / "ca.pem"),
        server_name="localhost",
        max_datagram_frame_size=65536,
        session_ticket=ticket,
    )
    tickets = []
    async with connect(
        server.host,
        server.port,
        configuration=configuration,
        create_protocol=Peer,
        session_ticket_handler=tickets.append,
        wait_connected=ticket is None,
    ) as client:
        client.authority = server.authority
        answer = await client.get("/early-data")
        await client.settings()
        tls = client._quic.tls
        told = bytes(answer.body).decode().strip()
        return (told, tls.early_data_accepted, tls.session_resumed), tickets


@suite.case("aioquic client, our server: resumed and taken, once for each ticket")
async def from_aioquic(_world):
    async with aqueduct_server("--early-data") as server:
        seen, tickets = await aioquic_asks(server)
        same(seen, ("none", False, False), "the first connection")
        check(tickets, "our server gave no ticket")
        seen, _ = await aioquic_asks(server, tickets[0])
        same(seen, ("accepted", True, True), "the second connection")
        seen, _ = await aioquic_asks(server, tickets[0])
        same(seen, ("none", False, False), "the same ticket again")


@suite.case("aioquic client, our server that has lost its sessions: rejected, and answered")
async def from_aioquic_rejected(_world):
    async with aqueduct_server("--early-data") as before:
        _, tickets = await aioquic_asks(before)
        async with aqueduct_server("--early-data") as after:
            seen, _ = await aioquic_asks(after, tickets[0])
            same(seen, ("none", False, False), "the second connection")


async def quic_go_asks(first, second):
    urls = [f"https://{server.authority}/early-data" for server in (first, second)]
    arguments = ("client", "early", urls[0], "--ca", FOLDER / "ca.pem", f"next={urls[1]}")
    seen, _ = await run_case(first, "early", QUIC_GO, *arguments)
    words = ("told", "early", "resumed", "rejected")
    return [tuple(connection[word] for word in words) for connection in seen["connections"]]


@suite.case("quic-go client, our server: resumed and taken")
async def from_quic_go(_world):
    if missing(QUIC_GO):
        return
    async with aqueduct_server("--early-data") as server:
        first, second = await quic_go_asks(server, server)
        same(first, ("none", False, False, False), "the first connection")
        same(second, ("accepted", True, True, False), "the second connection")


@suite.case("quic-go client, our server that has lost its sessions: rejected, and answered")
async def from_quic_go_rejected(_world):
    if missing(QUIC_GO):
        return
    async with aqueduct_server("--early-data") as before:
        async with aqueduct_server("--early-data") as after:
            _, second = await quic_go_asks(before, after)
            same(second, ("none", False, False, True), "the second connection")


@contextlib.asynccontextmanager
async def world():
    certificates(FOLDER)
    yield None


if __name__ == "__main__":
    suite.main(world)
