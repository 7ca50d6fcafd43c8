"""`aqueduct get` against Caddy's HTTP/3 (quic-go)."""

import asyncio
import contextlib
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request

from harness import (
    MB10,
    TARGET,
    WORK,
    Failed,
    Program,
    Suite,
    certificates,
    check,
    missing,
    noise,
    run_aqueduct,
    same,
)

# It goes where a server's alt-svc leads.
ALT_SVC = TARGET / "debug" / "examples" / "alt-svc"

suite = Suite("aqueduct against caddy")

# Caddy takes the same number for HTTP/3 (UDP) and, unless only h3 is served, for TCP.
CADDYFILE = """
{{
    admin off
    auto_https off
    storage file_system {folder}/caddy-data
    servers {{
        protocols {protocols}
    }}
    log {{
        output stderr
        level INFO
    }}
}}
https://127.0.0.1:{port}, https://localhost:{port} {{
    bind 127.0.0.1
    tls {folder}/cert.pem {folder}/key.pem
    root * {folder}/site
    header /fields.txt X-Twice one
    header /fields.txt +X-Twice two
    redir /moved /small.txt 302
    respond /echo "{{http.request.method}} {{http.request.proto}}"
    file_server
}}
"""


class World:
    def __init__(self, port, sha256, folder):
        self.url = f"https://127.0.0.1:{port}"
        self.named = f"https://localhost:{port}"
        self.sha256 = sha256
        self.folder = folder

    async def get(self, *arguments, **options):
        urls = [self.url + a if str(a).startswith("/") else a for a in arguments]
        ca = str(self.folder / "ca.pem")
        return await run_aqueduct("get", "--cacert", ca, *urls, **options)

    async def fetched(self, *arguments, **options):
        status, out, err = await self.get(*arguments, **options)
        same(status, 0, f"exit status ({err.strip()})")
        return out


@suite.case("a small file, over HTTP/3.0 by Caddy's own account")
async def small(world):
    same(await world.fetched("/small.txt"), b"from caddy\n", "body")
    same(await world.fetched("/echo"), b"GET HTTP/3.0", "method and protocol")


@suite.case("the server's name is sent: localhost")
async def named(world):
    same(await world.fetched(world.named + "/small.txt"), b"from caddy\n", "body")


@suite.case("10 MB to a file", seconds=60)
async def large(world):
    target = WORK / "from-caddy.bin"
    target.unlink(missing_ok=True)
    status, _, err = await world.get("/large.bin", f"-o{target}", seconds=55)
    same(status, 0, f"exit status ({err.strip()})")
    body = target.read_bytes()
    target.unlink()
    check(body == noise(MB10), f"{len(body)} bytes, not the file's")


@suite.case("several URLs, bodies in order")
async def several(world):
    out = await world.fetched("/small.txt", "/medium.bin", "/small.txt")
    check(out == b"from caddy\n" + noise(100_000) + b"from caddy\n", "the bodies differ")


@suite.case("an empty file, and HEAD of a large one")
async def empty(world):
    same(await world.fetched("/empty.txt"), b"", "body of an empty file")
    same(await world.fetched("/large.bin", "-X", "HEAD"), b"", "body of a HEAD")


@suite.case("a range is partial content")
async def ranged(world):
    out = await world.fetched("/small.txt", "-H", "range: bytes=5-9")
    same(out, b"caddy", "bytes 5 to 9")


@suite.case("404 is exit status 4")
async def not_found(world):
    status, _, err = await world.get("/missing.txt")
    same(status, 4, "exit status")
    check("404" in err, f"stderr does not name 404: {err.strip()}")


@suite.case("a certificate that nobody vouched for is exit status 3")
async def untrusted(world):
    status, _, _ = await run_aqueduct("get", world.url + "/small.txt")
    same(status, 3, "exit status")
    status, out, _ = await run_aqueduct(
        "get", "--cert-hash", world.sha256, world.url + "/small.txt"
    )
    same((status, out), (0, b"from caddy\n"), "with the certificate's hash")


@suite.case("wt: a server without WebTransport is refused with a reason")
async def no_webtransport(world):
    ca = str(world.folder / "ca.pem")
    status, _, err = await run_aqueduct("wt", world.url + "/echo", "echo", "--cacert", ca)
    check(status in (1, 4), f"exit status {status}")
    check(err.strip(), "stderr is empty")


async def told_by_tcp(server, url):
    """What a server says of itself in `alt-svc`, over TCP."""
    context = ssl.create_default_context(cafile=server.folder / "ca.pem")

    def ask():
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            return answer.headers.get("alt-svc")

    return await asyncio.to_thread(ask)


@contextlib.asynccontextmanager
async def tcp_relay(port):
    """Another TCP port of a server: yields its number. There is nobody on UDP."""

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def client(reader, writer):
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@suite.case("alt-svc, as it says over TCP: parsed, kept, and dialled at its own port")
async def alt_svc(_world):
    if missing(ALT_SVC):
        return
    async with world("caddy-tcp", "h1 h2 h3") as server:
        port = server.url.rsplit(":", 1)[1]
        async with tcp_relay(port) as origin:
            url = f"https://localhost:{origin}/small.txt"
            field = await told_by_tcp(server, url)
            print(f"# caddy: alt-svc: {field}")
            check(field and f'h3=":{port}"' in field, f"alt-svc is {field}")
            run = await asyncio.create_subprocess_exec(
                ALT_SVC, url, field, server.sha256, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, err = await run.communicate()
    same(run.returncode, 0, f"exit status ({err.decode().strip()})")
    place, status, body = out.decode().splitlines()
    check(place.endswith(f"is at localhost:{port}, by alt-svc"), place)
    same((status, body), ("200 OK", "from caddy"), "answer")


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def world(name="caddy", protocols="h3"):
    if not shutil.which("caddy"):
        sys.exit("caddy is not installed: tests/interop/run installs it")
    folder = WORK / name
    sha256 = certificates(folder)
    site = folder / "site"
    site.mkdir(exist_ok=True)
    files = {
        "small.txt": b"from caddy\n",
        "fields.txt": b"fields\n",
        "empty.txt": b"",
        "medium.bin": noise(100_000),
        "large.bin": noise(MB10),
    }
    for name, body in files.items():
        (site / name).write_bytes(body)
    port = free_port()
    config: pathlib.Path = folder / "Caddyfile"
    config.write_text(CADDYFILE.format(folder=folder, port=port, protocols=protocols))
    command = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
    # Caddy's own state stays in the work folder.
    homes = {name: str(folder / "state") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    server = Program(command, f"{name}.log", homes)
    try:
        for _ in range(100):
            if b"serving initial configuration" in server.log.read_bytes():
                break
            if server.child.poll() is not None:
                raise Failed(f"caddy ended with {server.child.returncode}; see {server.log}")
            await asyncio.sleep(0.1)
        else:
            raise Failed(f"caddy is not up after 10 s; see {server.log}")
        yield World(port, sha256, folder)
    finally:
        server.interrupt(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.child.wait(5)
        server.kill()
        Program.running.remove(server)


if __name__ == "__main__":
    suite.main(world)
