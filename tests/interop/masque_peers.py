"""quic-go's client through `aqueduct proxy`, and `aqueduct tunnel` and `get --proxy` through all proxies."""

import asyncio
import contextlib
import functools
import hashlib
import http.server
import os
import shutil
import signal
import socket
import sys
import threading

import aioquic_server
import caddy
from harness import (
    MB10,
    WORK,
    Failed,
    Program,
    Suite,
    binary,
    check,
    missing,
    noise,
    pattern,
    run_aqueduct,
    run_case,
    run_program,
    same,
)
from masque_client import CONTENTS
from masque_targets import (
    PEERS,
    TOKEN,
    Proxy,
    free_port,
    gone,
    main_proxy,
    ours,
    recorded,
    targets,
    udp_ports,
)

suite = Suite("quic-go through a proxy, and aqueduct through others")


class World:
    """A proxy of ours, those of the other side by name, and targets."""

    def __init__(self, proxy, others, made, site):
        self.proxy = proxy
        self.others = others
        self.targets = made
        self.site = site
        self.names = ["ours", *others]

    def named(self, name):
        return self.proxy if name == "ours" else self.others[name]

    async def client(self, case, target, kind="udp", proxy=None, **values):
        """Runs a case of the Go client; returns what it printed."""
        proxy = proxy or self.proxy
        values["target"] = target
        pairs = (f"{name.replace('_', '-')}={value}" for name, value in values.items())
        program = (PEERS / "masque", "client", case, proxy.template(kind), "--ca", proxy.ca)
        seen, _ = await run_case(proxy, case, *program, *pairs)
        return seen


# ---- quic-go's client, our proxy


@suite.case("go client: echoes of several sizes, in both families, and the fields of a 200")
async def echoes(world):
    for host, port in world.targets.addresses():
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        seen = await world.client("echo", target, sizes="0,1,63,1000,1200", count=20)
        same((seen["status"], seen["echoed"], seen["capsules"]), (200, 100, "?1"), "echoes")
        told = {data for _, data in world.targets.echoes[host].seen}
        check(b"" in told, "no empty packet arrived")
    seen = await world.client("echo", f"localhost:{world.targets.port}", sizes="5")
    same(seen["echoed"], 1, "echoes of a name")


@suite.case("go client: a hundred tunnels on one connection")
async def many(world):
    before = set(udp_ports())
    seen = await world.client("many", world.targets.udp, count=20)
    same(seen, {"tunnels": 20}, "tunnels")
    seen = await world.client("many", world.targets.udp, count=100)
    same(seen, {"tunnels": 100}, "tunnels")
    for _ in range(100):
        left = udp_ports() - before
        if not left:
            return
        await asyncio.sleep(0.05)
    check(False, f"{len(left)} sockets are left")


@suite.case("go client: bad targets are refused, and how")
async def refused(world):
    root = "/.well-known/masque/udp"
    for path, statuses in (
        (f"{root}/127.0.0.1/0/", (400,)),
        (f"{root}/127.0.0.1/70000/", (400,)),
        (f"{root}/%5B%3A%3A1%5D/53/", (400,)),
        (f"{root}//53/", (400, 404)),
        ("/nothing/127.0.0.1/53/", (404,)),
    ):
        seen = await world.client("refused", world.targets.udp, path=path)
        check(seen.get("status") in statuses, f"{path}: {seen}")
        same(seen["capsules"], "", f"capsule-protocol for {path}")
    seen = await world.client("refused", world.targets.udp, protocol="connect-nothing")
    same(seen["status"], 501, "status of an unknown protocol")


@ours(suite)("go client: what is not allowed is 403 with its reason")
async def forbidden(world):
    # No payload is sent there, whatever the answer.
    seen = await world.client("refused", "10.0.0.1:4433")
    same(seen["status"], 403, "status")
    check("destination_ip_prohibited" in seen["proxy"], f"proxy-status: {seen['proxy']}")


@suite.case("go client: closing ends the target's socket, and FIN comes back")
async def closed(world):
    since = len(world.targets.packets.seen)
    seen = await world.client("close", world.targets.udp)
    same(seen, {"ended": "fin"}, "end")
    (_, port), _ = world.targets.packets.seen[since]
    check(await gone(port), "the proxy's socket is still there")


@suite.case("go client: a target where nobody listens ends the tunnel")
async def dead(world):
    seen = await world.client("dead", f"127.0.0.1:{free_port()}")
    check(seen["ended"] in ("fin", "reset"), f"{seen}")
    print(f"# a dead target: {seen}")


@suite.case("go client: unknown contexts and capsules are passed over")
async def unknown(world):
    same(await world.client("unknown", world.targets.udp), {"echoed": 2}, "echoes")


@suite.case("go client: payloads in capsules arrive")
async def capsules(world):
    seen = await world.client("capsules", world.targets.udp, count=50)
    same(sum(seen.values()), 50, f"payloads back, of {seen}")


@suite.case("go client: datagrams right behind the request")
async def early(world):
    seen = await world.client("early", world.targets.udp, count=10)
    print(f"# {seen['came']} of 10 early datagrams came back")


@suite.case("go client: the largest payload is 1,200 bytes or more, and larger ones do no harm")
async def large(world):
    seen = await world.client("large", world.targets.udp)
    check(seen["largest"] >= 1200, f"largest {seen['largest']}")
    print(f"# the largest payload there and back: {seen['largest']} bytes")


@suite.case("go client: TCP in capsules under each name, up to 1 MB")
async def tcp(world):
    target = f"127.0.0.1:{world.targets.tcp['echo']}"
    for protocol in CONTENTS:
        for size in (0, 1, 1 << 20):
            seen = await world.client("tcp", target, "tcp", protocol=protocol, size=size)
            same(seen, {"echoed": size}, protocol)


@suite.case("go client: HTTP/3 with aioquic's server through the tunnel")
async def through(world):
    target = world.site.aioquic.url.removeprefix("https://")
    for size in (0, 1000, 300_000):
        seen = await world.client(
            "through", target, target_ca=world.site.aioquic.ca, resource=f"/bytes/{size}"
        )
        same(seen, {"status": 200, "size": size}, "answer")


# ---- ours through a proxy: `get --proxy`


@ours(suite)("get --proxy: aioquic's server, through all proxies", seconds=90)
async def get_aioquic(world):
    for name in world.names:
        proxied = functools.partial(get, world, name)
        same(await proxied(world.site.aioquic.url + "/"), b"aioquic says hello\n", "body")
        for size in (0, 1200, 1 << 20):
            body = await proxied(world.site.aioquic.url + f"/bytes/{size}")
            check(body == pattern(size), f"{len(body)} other bytes of {size} through {name}")
        path = WORK / "through-a-proxy.bin"
        path.write_bytes(noise(300_000))
        body = await proxied(world.site.aioquic.url + "/echo", "-d", f"@{path}")
        path.unlink()
        check(body == noise(300_000), f"the echo of an upload differs through {name}")


@ours(suite)("get --proxy: several URLs, a status, and a server that is not there")
async def get_odd(world):
    url = world.site.aioquic.url
    for name in world.names:
        body = await get(world, name, f"{url}/bytes/10", f"{url}/bytes/20")
        same(body, pattern(10) + pattern(20), "two bodies")
        status, _, err = await raw_get(world, name, f"{url}/status/404")
        same(status, 4, f"exit status ({err.strip()})")
    status, _, err = await raw_get(world, "ours", f"https://127.0.0.1:{free_port()}/")
    check(status not in (0, 4), f"exit status {status} where nobody listens")
    check(err.strip(), "nothing on standard error")


@ours(suite)("get --proxy: Caddy's files, through all proxies", seconds=90)
async def get_caddy(world):
    if missing("caddy"):
        return
    for name in world.names:
        for base in (world.site.caddy.url, world.site.caddy.named):
            same(await get(world, name, base + "/small.txt"), b"from caddy\n", "body")
        body = await get(world, name, world.site.caddy.url + "/large.bin", seconds=60)
        check(body == noise(MB10), f"{len(body)} other bytes through {name}")


@ours(suite)("get --proxy: a refusal tells the proxy's status, and the origin is still verified")
async def get_refused(world):
    url = world.site.aioquic.url + "/"
    # Loopback is what it refuses, so that whatever goes wrong stays on this machine.
    strict = Proxy(log="aqueduct-proxy-strict-get.log")
    try:
        proxy = ("--proxy", strict.url)
        status, _, err = await run_aqueduct("get", *proxy, "--cacert", world.site.bundle, url)
    finally:
        await asyncio.to_thread(strict.stop)
    check(status != 0 and "403" in err, f"exit status {status}: {err.strip()}")
    proxy = ("--proxy", world.proxy.url)
    # Who trusts the proxy does not trust what is behind it.
    status, _, err = await run_aqueduct("get", *proxy, "--cacert", world.proxy.ca, url)
    check(status not in (0, 4), f"exit status {status}: {err.strip()}")


async def raw_get(world, name, *arguments, seconds=30):
    proxy = ("--proxy", world.named(name).url, "--cacert", world.site.bundle)
    return await run_aqueduct("get", *proxy, *arguments, seconds=seconds)


async def get(world, name, *arguments, seconds=30):
    """The body that `get` prints through a proxy."""
    status, out, err = await raw_get(world, name, *arguments, seconds=seconds)
    same(status, 0, f"exit status through {name} ({err.strip()})")
    return out


# ---- `aqueduct tunnel`


@contextlib.asynccontextmanager
async def tunnel(proxy, *arguments, ca=None):
    """`aqueduct tunnel` until the end of a case."""
    command = [binary(), "tunnel", "--proxy", proxy.url, "--cacert", str(ca or proxy.ca)]
    command += [*recorded("tunnel"), *map(str, arguments)]
    program = Program(command, f"aqueduct-tunnel-{os.getpid()}.log")
    try:
        yield program
    finally:
        await asyncio.to_thread(program.stop)


async def udp_echo(port, payload, seconds=10):
    """Sends to a local socket of a tunnel until the payload comes back."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.connect(("127.0.0.1", port))
        own.setblocking(False)
        until = loop.time() + seconds
        while loop.time() < until:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                own.send(payload)
                while await asyncio.wait_for(loop.sock_recv(own, 65536), 0.5) != payload:
                    pass
                return
            await asyncio.sleep(0.1)
    check(False, f"{len(payload)} bytes did not come back")


@ours(suite)("tunnel --udp: echoes through all proxies", seconds=60)
async def tunnel_udp(world):
    for name in world.names:
        for target in (world.targets.udp, f"[::1]:{world.targets.port}", f"localhost:{world.targets.port}"):
            port = free_port()
            local = ("--local", f"127.0.0.1:{port}")
            async with tunnel(world.named(name), "--udp", target, *local):
                for size in (1, 1000, 1200):
                    await udp_echo(port, noise(size))


@ours(suite)("tunnel --udp: a packet that fits into no datagram does not end it")
async def tunnel_large(world):
    for name in world.names:
        port = free_port()
        local = ("--local", f"127.0.0.1:{port}")
        async with tunnel(world.named(name), "--udp", world.targets.udp, *local):
            await udp_echo(port, b"before it")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.sendto(noise(8000), ("127.0.0.1", port))
            await udp_echo(port, b"after it")


@ours(suite)("tunnel: a URI template for the proxy, and a token")
async def tunnel_template(world):
    secret = WORK / "masque-token.txt"
    secret.write_text(TOKEN + "\n")
    program = PEERS / "masque"
    guarded = Proxy(f"bearer={TOKEN}", program=program, log="go-masque-bearer.log")
    try:
        guarded.url = guarded.template()
        port = free_port()
        arguments = ("--udp", world.targets.udp, "--local", f"127.0.0.1:{port}")
        async with tunnel(guarded, *arguments, "--bearer-file", secret):
            await udp_echo(port, b"with a token")
        command = ("--proxy", guarded.url, "--cacert", guarded.ca, *arguments)
        status, _, err = await run_program("tunnel", *command, seconds=20)
        check(status != 0 and "401" in err, f"exit status {status}: {err.strip()}")
    finally:
        secret.unlink()
        await asyncio.to_thread(guarded.stop)


async def open_tcp(port, seconds=10):
    """A connection to a port that somebody is about to listen on."""
    for _ in range(seconds * 10):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
    raise Failed(f"nobody listens on port {port}")


@ours(suite)("tunnel --tcp: echoes and half closes through all proxies", seconds=60)
async def tunnel_tcp(world):
    for name in world.names:
        for kind, sent in (("echo", noise(1 << 20)), ("digest", noise(50_000))):
            port = free_port(socket.SOCK_STREAM)
            target = f"127.0.0.1:{world.targets.tcp[kind]}"
            local = ("--local", f"127.0.0.1:{port}")
            async with tunnel(world.named(name), "--tcp", target, *local):
                for _ in range(2):
                    reader, writer = await open_tcp(port)
                    writer.write(sent)
                    writer.write_eof()
                    came = await asyncio.wait_for(reader.read(-1), 15)
                    wanted = sent if kind == "echo" else hashlib.sha256(sent).hexdigest().encode()
                    check(came == wanted, f"{kind} through {name}: {len(came)} other bytes")
                    writer.close()


@contextlib.asynccontextmanager
async def socks(world, name="ours"):
    """The port of a SOCKS server that goes through a proxy."""
    port = free_port(socket.SOCK_STREAM)
    async with tunnel(world.named(name), "--socks", f"127.0.0.1:{port}"):
        _, writer = await open_tcp(port)
        writer.close()
        yield port


async def run(*command, seconds=30):
    """Runs a program to its end, and all that it started; returns status, stdout, stderr."""
    child = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), seconds)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        raise Failed(f"{command[0]} had not ended after {seconds} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.returncode, out, err.decode(errors="replace")


@ours(suite)("tunnel --socks: curl by address and by name, through all proxies", seconds=60)
async def socks_curl(world):
    if missing("curl"):
        return
    for name in world.names:
        async with socks(world, name) as port:
            for host in ("127.0.0.1", "localhost"):
                url = f"http://{host}:{world.site.plain}"
                for way in ("--socks5", "--socks5-hostname"):
                    through = ("curl", "-sS", way, f"127.0.0.1:{port}")
                    status, out, err = await run(*through, url + "/small.txt")
                    same((status, out), (0, b"from python\n"), f"{way} {host} {name} ({err.strip()})")
            through = ("curl", "-sS", "--socks5-hostname", f"127.0.0.1:{port}")
            status, out, err = await run(*through, url + "/large.bin")
            same(status, 0, f"exit status for 10 MB ({err.strip()})")
            check(out == noise(MB10), f"{len(out)} other bytes through {name}")


@ours(suite)("tunnel --socks: curl, ten at once, and a port where nobody listens")
async def socks_more(world):
    if missing("curl"):
        return
    async with socks(world) as port:
        through = ("curl", "-sS", "--parallel", "--socks5-hostname", f"127.0.0.1:{port}")
        url = f"http://127.0.0.1:{world.site.plain}/medium.bin?[1-10]"
        status, out, err = await run(*through, url)
        same((status, len(out)), (0, 1_000_000), f"ten of 100,000 bytes ({err.strip()})")
        status, _, err = await run(*through, f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/")
        check(status != 0, "a page where nobody listens")
        status, out, err = await run(*through, f"http://127.0.0.1:{world.site.plain}/small.txt")
        same((status, out), (0, b"from python\n"), f"the next one ({err.strip()})")


@ours(suite)("tunnel --socks: Chromium shows a page", seconds=60)
async def socks_chromium(world):
    if missing("chromium"):
        return
    since = len(world.site.asked)
    async with socks(world) as port:
        status, out, err = await run(
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={WORK / 'chromium-socks'}"),
            f"--proxy-server=socks5://127.0.0.1:{port}",
            # It takes no proxy for loopback unless it is told so.
            "--proxy-bypass-list=<-loopback>",
            *("--timeout=20000", "--dump-dom", f"http://127.0.0.1:{world.site.plain}/page.html"),
            seconds=50,
        )
    same(status, 0, f"exit status ({err[-300:]})")
    check(b"shown through a tunnel" in out, f"the page is {out[:200]!r}")
    check("/words.js" in world.site.asked[since:], "the page's script asked for nothing")
    shutil.rmtree(WORK / "chromium-socks", ignore_errors=True)


# ---- servers behind the proxies

PAGE = b"""<!doctype html><title>a page</title><p id=words>not yet</p><script src="/words.js"></script>"""
WORDS = b"""document.getElementById("words").textContent = "shown through " + "a tunnel";"""


class Site:
    """A plain server, aioquic's and Caddy's HTTP/3, and whom to trust to reach them."""

    def __init__(self):
        self.folder = WORK / "masque-site"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asked = []
        self.caddy = None
        files = {
            "small.txt": b"from python\n",
            "medium.bin": noise(100_000),
            "large.bin": noise(MB10),
            "page.html": PAGE,
            "words.js": WORDS,
        }
        for name, body in files.items():
            (self.folder / name).write_bytes(body)

    def serve_plain(self):
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(self.folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.plain = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def trust(self, *files):
        self.bundle = self.folder / "bundle.pem"
        self.bundle.write_text("".join(file.read_text() for file in files))


@contextlib.asynccontextmanager
async def world():
    program = PEERS / "masque"
    if not program.exists():
        sys.exit(f"{program} is missing: tests/interop/run builds it")
    async with contextlib.AsyncExitStack() as ends:
        made = await ends.enter_async_context(targets())
        site = Site()
        site.aioquic = await ends.enter_async_context(aioquic_server.world())
        if shutil.which("caddy"):
            site.caddy = await ends.enter_async_context(caddy.world())
        plain = site.serve_plain()
        ends.callback(plain.shutdown)
        proxy = await asyncio.to_thread(main_proxy)
        ends.push_async_callback(asyncio.to_thread, proxy.stop)
        others = {}
        for name, *options in (("go",), ("go-sparse", "sparse=yes")):
            other = Proxy(*options, program=program, log=f"{name}-masque.log")
            ends.push_async_callback(asyncio.to_thread, other.stop)
            others[name] = other
        behind = [site.caddy.folder / "ca.pem"] if site.caddy else []
        site.trust(proxy.ca, site.aioquic.ca, *behind)
        yield World(proxy, others, made, site)


if __name__ == "__main__":
    suite.main(world)
