"""`aqueduct get` and `aqueduct wt` against an aioquic HTTP/3 and WebTransport server."""

import contextlib
import hashlib
import json
import ssl
import urllib.parse

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import (
    DatagramReceived,
    DataReceived,
    HeadersReceived,
    WebTransportStreamDataReceived,
)
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, StreamReset

from harness import MB10, WORK, Suite, certificates, check, noise, pattern, run_aqueduct, same

suite = Suite("aqueduct against an aioquic server")


class Handler(QuicConnectionProtocol):
    """One client connection: a few HTTP resources and a WebTransport echo."""

    log = []  # (connection, method, path) of every request to this process
    connections = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None
        self.requests = {}
        self.bodies = {}
        self.echoes = {}
        self.number = 0

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            Handler.connections += 1
            self.number = Handler.connections
            self.http = H3Connection(self._quic, enable_webtransport=True)
        if self.http is None:
            return
        if isinstance(event, StreamReset):
            self.requests.pop(event.stream_id, None)
        for happened in self.http.handle_event(event):
            self.http_event(happened)
        self.transmit()

    def http_event(self, event):
        if isinstance(event, HeadersReceived) and event.stream_id not in self.requests:
            self.begin(event)
        elif isinstance(event, DataReceived) and event.stream_id in self.requests:
            self.bodies[event.stream_id] += event.data
            if event.stream_ended:
                self.answer(event.stream_id)
        elif isinstance(event, DatagramReceived):
            self.http.send_datagram(event.stream_id, event.data)
        elif isinstance(event, WebTransportStreamDataReceived):
            self.echo(event)

    def begin(self, event):
        stream = event.stream_id
        fields = self.requests[stream] = event.headers
        self.bodies[stream] = bytearray()
        head = dict(fields)
        Handler.log.append((self.number, head[b":method"].decode(), head.get(b":path", b"")))
        if head.get(b":protocol") in (b"webtransport", b"webtransport-h3"):
            accepted = head[b":path"] == b"/echo"
            status = b"200" if accepted else b"404"
            draft = (b"sec-webtransport-http3-draft", b"draft02")
            self.http.send_headers(stream, [(b":status", status), draft], not accepted)
        elif event.stream_ended:
            self.answer(stream)

    def answer(self, stream):
        fields, body = self.requests[stream], bytes(self.bodies.pop(stream))
        head = dict(fields)
        if head.get(b":protocol"):
            self.http.send_data(stream, b"", True)  # the client ended its session
            return
        status, extra, content, trailers = self.resource(
            head[b":method"].decode(), head[b":path"].decode(), fields, body
        )
        self.http.send_headers(stream, [(b":status", b"%d" % status), *extra], False)
        end = trailers is None
        self.http.send_data(stream, b"" if head[b":method"] == b"HEAD" else content, end)
        if not end:
            self.http.send_headers(stream, trailers, True)

    def resource(self, method, target, fields, body):
        path = urllib.parse.urlsplit(target).path
        text = [(b"content-type", b"text/plain")]
        if path == "/":
            return 200, text, b"aioquic says hello\n", None
        if path.startswith("/bytes/"):
            size = int(path[7:])
            return 200, [(b"content-length", b"%d" % size)], pattern(size), None
        if path == "/echo":
            return 200, text, body, None
        if path == "/sha256":
            return 200, text, f"{hashlib.sha256(body).hexdigest()} {len(body)}\n".encode(), None
        if path == "/headers":
            pairs = [(n.decode(), v.decode()) for n, v in fields if not n.startswith(b":")]
            return 200, [(b"content-type", b"application/json")], json.dumps(pairs).encode(), None
        if path == "/trailers":
            return 200, text, b"body", [(b"x-trailer-a", b"1"), (b"x-trailer-b", b"2")]
        if path == "/connection":
            return 200, text, b"connection %d\n" % self.number, None
        if path.startswith("/status/"):
            status = int(path[8:])
            return status, text, b"" if status in (204, 304) else b"as you asked\n", None
        return 404, text, b"nothing here\n", None

    def echo(self, event):
        stream = event.stream_id
        if stream % 4 == 0:
            self._quic.send_stream_data(stream, event.data, event.stream_ended)
        elif stream % 4 == 2:
            if stream not in self.echoes:
                self.echoes[stream] = self.http.create_webtransport_stream(
                    event.session_id, is_unidirectional=True
                )
            self._quic.send_stream_data(self.echoes[stream], event.data, event.stream_ended)


class World:
    """Where the server is, and how `aqueduct` is told to trust it."""

    def __init__(self, authority, sha256):
        self.url = f"https://{authority}"
        self.sha256 = sha256
        self.ca = WORK / "aioquic-certs" / "ca.pem"

    async def get(self, *arguments, trust=None, **options):
        trust = ["--cacert", self.ca] if trust is None else trust
        urls = [self.url + a if str(a).startswith("/") else a for a in arguments]
        return await run_aqueduct("get", *trust, *urls, **options)

    async def fetched(self, *arguments, **options):
        status, out, err = await self.get(*arguments, **options)
        same(status, 0, f"exit status ({err.strip()})")
        return out


@suite.case("get prints a small body")
async def small(world):
    same(await world.fetched("/"), b"aioquic says hello\n", "body")


@suite.case("get -o writes 10 MB to a file", seconds=90)
async def download(world):
    target = WORK / "download.bin"
    target.unlink(missing_ok=True)
    await world.fetched(f"/bytes/{MB10}", f"-o{target}", seconds=85)
    body = target.read_bytes()
    target.unlink()
    same(len(body), MB10, "size")
    check(body == pattern(MB10), "the bytes differ")


@suite.case("get -d @FILE uploads 10 MB", seconds=90)
async def upload(world):
    body, source = noise(MB10), WORK / "upload.bin"
    source.write_bytes(body)
    try:
        out = await world.fetched("/sha256", "-X", "POST", "-d", f"@{source}", seconds=85)
    finally:
        source.unlink()
    same(out.decode().split(), [hashlib.sha256(body).hexdigest(), str(MB10)], "digest and size")


@suite.case("get -d DATA posts the text")
async def post(world):
    same(await world.fetched("/echo", "-d", "some text"), b"some text", "echo")
    check(Handler.log[-1][1] == "POST", f"the method was {Handler.log[-1][1]}")


@suite.case("get -H sends fields in order, repeats kept")
async def fields(world):
    out = await world.fetched("/headers", "-H", "x-b: 1", "-H", "x-a:2", "-H", "x-b: 3")
    listed = [tuple(pair) for pair in json.loads(out)]
    ours = [value for name, value in listed if name == "x-b"]
    same(ours, ["1", "3"], "values of x-b")
    check(("x-a", "2") in listed, f"x-a is missing in {listed}")


@suite.case("a response with trailers is complete")
async def trailers(world):
    same(await world.fetched("/trailers"), b"body", "body")


@suite.case("an error status is exit status 4")
async def status(world):
    for code in (404, 500):
        seen, _, err = await world.get(f"/status/{code}")
        same(seen, 4, f"exit status for {code}")
        check(str(code) in err, f"stderr does not name {code}: {err.strip()}")


@suite.case("a response without body")
async def empty(world):
    same(await world.fetched("/bytes/0"), b"", "body of /bytes/0")
    same(await world.fetched("/status/204"), b"", "body of a 204")
    same(await world.fetched("/bytes/500", "-X", "HEAD"), b"", "body of a HEAD")


@suite.case("several URLs go over one connection")
async def several(world):
    before, first = Handler.connections, len(Handler.log)
    paths = ["/", "/bytes/1000", "/bytes/70000", "/trailers"]
    out = await world.fetched(*paths)
    same(Handler.connections - before, 1, "connections")
    same(len(Handler.log) - first, len(paths), "requests")
    wanted = [b"aioquic says hello\n", pattern(1000), pattern(70000), b"body"]
    check(out == b"".join(wanted), f"{len(out)} bytes on stdout are not the four bodies in order")


@suite.case("--cert-hash and --insecure trust; nothing trusts by default")
async def trust(world):
    hash_ = ["--cert-hash", world.sha256]
    same((await world.get("/", trust=hash_))[0], 0, "exit status with the right hash")
    wrong = ["--cert-hash", "00" * 32]
    same((await world.get("/", trust=wrong))[0], 3, "exit status with a wrong hash")
    same((await world.get("/", trust=[]))[0], 3, "exit status without trust")
    seen, _, err = await world.get("/", trust=["--insecure"])
    same(seen, 0, "exit status with --insecure")
    check("warning" in err.lower(), f"--insecure does not warn: {err.strip()}")


@suite.case("wt echo: bidi, uni and datagram", seconds=45)
async def wt_echo(world):
    url = world.url + "/echo"
    status, out, err = await run_aqueduct("wt", url, "echo", "--cacert", world.ca, seconds=40)
    same(status, 0, f"exit status ({err.strip() or out.decode().strip()})")


@suite.case("wt ping: datagram round trips", seconds=45)
async def wt_ping(world):
    url = world.url + "/echo"
    status, out, err = await run_aqueduct("wt", url, "ping", "--cacert", world.ca, seconds=40)
    same(status, 0, f"exit status ({err.strip() or out.decode().strip()})")


@suite.case("wt on a path without session: exit status 4")
async def wt_refused(world):
    url = world.url + "/nothing"
    status, _, err = await run_aqueduct("wt", url, "echo", "--cacert", world.ca, seconds=25)
    same(status, 4, f"exit status ({err.strip()})")
    check("404" in err, f"stderr does not name 404: {err.strip()}")


@suite.case("probe names what the server speaks")
async def probe(world):
    status, out, err = await run_aqueduct("probe", world.url, "--cacert", world.ca, seconds=25)
    same(status, 0, f"exit status ({err.strip()})")
    text = (out.decode() + err).lower()
    check("h3" in text, f"h3 is not named: {text}")
    check("webtransport" in text, f"WebTransport is not named: {text}")


@contextlib.asynccontextmanager
async def serving(folder, handler, **options):
    """An aioquic server with the certificate of a folder; yields its host and port."""
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=H3_ALPN,
        max_datagram_frame_size=65536,
        max_data=8 << 20,
        max_stream_data=4 << 20,
        verify_mode=ssl.CERT_NONE,
    )
    configuration.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    options.update(configuration=configuration, create_protocol=handler)
    server = await serve("127.0.0.1", 0, **options)
    try:
        yield "{}:{}".format(*server._transport.get_extra_info("sockname"))
    finally:
        server.close()


@contextlib.asynccontextmanager
async def world():
    folder = WORK / "aioquic-certs"
    sha256 = certificates(folder)
    async with serving(folder, Handler) as authority:
        yield World(authority, sha256)


if __name__ == "__main__":
    suite.main(world)
