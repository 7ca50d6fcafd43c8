"""aioquic as HTTP/3 client against `aqueduct serve --demo`."""

import asyncio
import contextlib
import hashlib
import json
import time

from aioquic_peer import peer
from pylsqpack import Encoder

from harness import MB10, Aqueduct, Suite, check, noise, pattern, same

suite = Suite("aioquic http/3 client")


@suite.case("GET / is a page")
async def page(server):
    async with peer(server) as client:
        answer = await client.get("/")
        same(answer.status, 200, "status")
        check("text/html" in (answer.field("content-type") or ""), "content-type is not text/html")
        check(b"<html" in bytes(answer.body).lower(), "the body holds no <html")


@suite.case("SETTINGS offer extended CONNECT and datagrams")
async def settings(server):
    async with peer(server) as client:
        seen = await client.settings()
        for setting in (0x08, 0x33, 0x2B603742):
            same(seen.get(setting), 1, f"setting {setting:#x}")
        check(seen.get(0xC671706A, 0) >= 1, "WEBTRANSPORT_MAX_SESSIONS of draft 07 is missing")


@suite.case("GET /bytes/N for sizes around frame and packet limits")
async def bytes_of(server):
    async with peer(server) as client:
        for size in (0, 1, 63, 64, 1200, 16383, 16384, 65537, 300000):
            answer = await client.get(f"/bytes/{size}")
            same(answer.status, 200, f"status of {size}")
            check(bytes(answer.body) == pattern(size), f"/bytes/{size} differs")


@suite.case("10 MB download is exact", seconds=90)
async def download(server):
    async with peer(server) as client:
        answer = await client.get(f"/bytes/{MB10}")
        same(len(answer.body), MB10, "size")
        check(bytes(answer.body) == pattern(MB10), "the bytes differ")


@suite.case("10 MB upload arrives exactly", seconds=90)
async def upload(server):
    async with peer(server) as client:
        body = noise(MB10)
        answer = await client.start("POST", "/sha256", body=body).done()
        same(answer.status, 200, "status")
        text = answer.body.decode()
        check(hashlib.sha256(body).hexdigest() in text, f"wrong digest: {text}")
        check(str(MB10) in text, f"the size is missing: {text}")


@suite.case("POST /echo returns the body, for any method")
async def echo(server):
    async with peer(server) as client:
        for method, size in (("POST", 5), ("PUT", 70000), ("PATCH", 0)):
            body = noise(size)
            answer = await client.start(method, "/echo", body=body).done()
            same(answer.status, 200, f"{method} status")
            check(bytes(answer.body) == body, f"{method}: the echo of {size} bytes differs")


@suite.case("/echo streams: the answer starts before the request ends")
async def echo_streams(server):
    async with peer(server) as client:
        exchange = client.start("POST", "/echo", body=b"first,", end=False)
        await exchange.until(lambda: bytes(exchange.body) == b"first,")
        client.http.send_data(exchange.stream_id, b"second", True)
        client.transmit()
        await exchange.done()
        same(bytes(exchange.body), b"first,second", "body")


@suite.case("10 MB echo both ways at once", seconds=120)
async def echo_large(server):
    async with peer(server) as client:
        body = noise(MB10)
        answer = await client.start("POST", "/echo", body=body).done()
        same(len(answer.body), MB10, "size")
        check(bytes(answer.body) == body, "the echo differs")


@suite.case("HEAD has the fields and no body")
async def head(server):
    async with peer(server) as client:
        answer = await client.start("HEAD", "/bytes/1000").done()
        same(answer.status, 200, "status")
        same(len(answer.body), 0, "body size")


@suite.case("trailers arrive after the body")
async def trailers(server):
    async with peer(server) as client:
        answer = await client.get("/trailers")
        same(bytes(answer.body), b"body", "body")
        names = [name for name, _ in answer.trailers or []]
        same(names, [b"x-trailer-a", b"x-trailer-b"], "trailer names")


@suite.case("request fields keep order, repeats and bytes")
async def headers(server):
    async with peer(server) as client:
        sent = [
            (b"x-b", b"1"),
            (b"x-a", b"2"),
            (b"x-b", b"3"),
            (b"x-empty", b""),
            (b"x-utf8", "grüße".encode()),
            (b"cookie", b"a=1"),
            (b"cookie", b"b=2"),
            (b"x-long", b"v" * 3000),
        ]
        answer = await client.get("/headers", sent)
        listed = [tuple(pair) for pair in json.loads(answer.body)]
        plain = [(n.decode(), v.decode()) for n, v in sent if n not in (b"x-utf8", b"cookie")]
        ours = {name for name, _ in plain}
        # Fields of one name keep their order; so do first occurrences of different names.
        same([pair for pair in listed if pair[0] in ours], plain, "fields")
        crumbs = [value for name, value in listed if name == "cookie"]
        check("; ".join(crumbs) == "a=1; b=2", f"cookies: {crumbs}")
        check(any(name == "x-utf8" for name, _ in listed), "x-utf8 is missing")


@suite.case("fields repeated over thirty requests (QPACK dynamic table)")
async def rolling(server):
    async with peer(server) as client:
        await client.settings()
        for i in range(30):
            fields = [(b"x-roll", b"v%d" % (i % 7)), (b"x-same", b"always the same value")]
            answer = await client.get("/headers", fields)
            listed = dict(tuple(pair) for pair in json.loads(answer.body))
            same(listed.get("x-roll"), f"v{i % 7}", f"x-roll of request {i}")
            same(listed.get("x-same"), "always the same value", f"x-same of request {i}")
        sent = client.http._encoder_bytes_sent
        check(sent > 30, f"aioquic sent {sent} bytes of encoder instructions: no dynamic entries")


@suite.case("103 Early Hints comes before 200")
async def early(server):
    async with peer(server) as client:
        answer = await client.get("/early")
        same(answer.status, 200, "status")
        same([dict(h)[b":status"] for h in answer.interim], [b"103"], "interim statuses")
        check(dict(answer.interim[0]).get(b"link"), "the 103 carries no link")


@suite.case("/status/N answers N")
async def status(server):
    async with peer(server) as client:
        for code in (200, 204, 304, 404, 418, 503):
            answer = await client.get(f"/status/{code}")
            same(answer.status, code, "status")
        same((await client.get("/no/such/thing")).status, 404, "unknown path")


@suite.case("/reset?code=N resets the stream with N and nothing else")
async def reset(server):
    async with peer(server) as client:
        for code in (0x10C, 0x1234):
            exchange = client.start("GET", f"/reset?code={code}")
            await exchange.until(lambda: exchange.ended)
            same(exchange.reset_code, code, "reset code")
        same((await client.get("/bytes/10")).status, 200, "status afterwards")


@suite.case("a request cancelled by the client leaves the connection alone")
async def cancel(server):
    async with peer(server) as client:
        exchange = client.start("POST", "/echo", body=b"x", end=False)
        await exchange.until(lambda: len(exchange.body) == 1)
        client._quic.reset_stream(exchange.stream_id, 0x10C)
        client._quic.stop_stream(exchange.stream_id, 0x10C)
        client.transmit()
        answer = await client.get("/bytes/10")
        same(bytes(answer.body), pattern(10), "body afterwards")


@suite.case("twenty requests at once, each with its own body", seconds=60)
async def concurrent(server):
    async with peer(server) as client:
        sizes = [1000 * i + 7 for i in range(20)]
        started = [client.start("GET", f"/bytes/{size}") for size in sizes]
        for size, exchange in zip(sizes, started):
            await exchange.done()
            check(bytes(exchange.body) == pattern(size), f"/bytes/{size} differs")


@suite.case("a slow answer does not delay the others")
async def slow(server):
    async with peer(server) as client:
        begun = time.monotonic()
        late = client.start("GET", "/slow?ms=1500")
        for _ in range(5):
            await client.get("/bytes/1000")
        check(not late.ended and time.monotonic() - begun < 1.4, "the others waited")
        await late.done()
        check(time.monotonic() - begun >= 1.4, "the slow answer came too early")


@suite.case("a malformed request costs its stream 0x10e, not the connection")
async def malformed(server):
    async with peer(server) as client:
        exchange = client.start("GET", "/", [(b"Upper-Case", b"no")])
        await exchange.until(lambda: exchange.ended)
        if exchange.reset_code is None:
            same(exchange.status, 400, "status of the malformed request")
        else:
            same(exchange.reset_code, 0x10E, "reset code")
        same((await client.get("/bytes/10")).status, 200, "status afterwards")


@suite.case("/goaway: GOAWAY is sent and requests in flight finish")
async def goaway(server):
    async with peer(server) as client:
        late = client.start("GET", "/slow?ms=700")
        answer = await client.get("/goaway")
        same(answer.status, 200, "status")
        await client.until(lambda: client.goaways)
        # The first id may be the largest one there is, to warn before the last one is known.
        check(client.goaways[-1] % 4 == 0, f"GOAWAY id {client.goaways[-1]} is no request's")
        check(client.goaways[-1] > late.stream_id, "GOAWAY refuses a request already taken")
        await late.done()
        same(late.status, 200, "status of the request in flight")


@suite.case("SIGTERM: GOAWAY, requests in flight finish, the program ends with 0")
async def sigterm(_server):
    own = Aqueduct(log="aqueduct-sigterm.log")
    try:
        async with peer(own) as client:
            await client.get("/bytes/1")
            late = client.start("GET", "/slow?ms=800")
            await client.ping()
            own.interrupt()
            await client.until(lambda: client.goaways)
            await late.done()
            same(late.status, 200, "status of the request in flight")
        same(await asyncio.to_thread(own.child.wait, 8), 0, "exit status")
    finally:
        own.stop()


@suite.case("a recording holds no values and no payload, unless asked for")
async def secrets(_server):
    token, key, body = b"TokenInAField0123456789", b"KeyInAQuery0123456789", b"WordsInABody" * 20
    stream, datagram, reason = b"WordsInAStream" * 9, b"WordsInADatagram", b"WordsOfFarewell"
    field = (b"authorization", token)
    # As aioquic sends it: Huffman code, from the first whole byte.
    _, section = Encoder().encode(0, [field])
    forms = {
        "the value of a field": token.decode(),
        "its Huffman code": section[-len(token) // 2 :].hex(),
        "a query": key.decode(),
        "a body": body.hex(),
        "the payload of a stream": stream.hex(),
        "a datagram": datagram.hex(),
        "a reason": reason.decode(),
    }
    for more, kept in ((), False), (("--record-secrets",), True):
        own = Aqueduct("--demo", *more, log="aqueduct-secrets.log")
        try:
            async with peer(own) as client:
                await client.settings()
                path = f"/echo?key={key.decode()}"
                for _ in range(4):
                    answer = await client.start("POST", path, [field], body=body).done()
                    same(bytes(answer.body), body, "echo")
                inserted = client.http._encoder_bytes_sent
                check(inserted > len(token) // 2, f"{inserted} bytes of encoder instructions")
                session = await client.session("/echo", [field])
                sent = session.open()
                session.send(sent, stream, end=True)
                same(await sent.done(), stream, "echo of a stream")
                session.datagram(datagram)
                same(await session.datagrams.get(), datagram, "echo of a datagram")
                session.close(3, reason.decode())
                await own.event("session_closed", code=3, reason=reason.decode())
        finally:
            await asyncio.to_thread(own.stop)
        recorded = own.recording.read_text()
        check(" authorization " in recorded, "the name of the field is not recorded")
        for what, form in forms.items():
            same(form in recorded, kept, f"{what} in the recording, {more}")
        if not kept:
            words = [form for form in (token, key, b"Words") if form.hex() in recorded]
            same(words, [], "secrets in hexadecimal")


@contextlib.asynccontextmanager
async def world():
    server = Aqueduct(log="aqueduct-http3.log")
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    suite.main(world)
