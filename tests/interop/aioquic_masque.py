"""aioquic as client of `aqueduct proxy`: CONNECT-UDP, connect-tcp and CONNECT, built by hand."""

import asyncio
import contextlib
import hashlib

from harness import Suite, check, noise, same
from masque_client import (
    CONTENTS,
    DATAGRAM,
    PlainClient,
    capsule,
    client,
    in_context,
    path_of,
)
from masque_targets import (
    GREETING,
    TOKEN,
    WORK,
    Proxy,
    free_port,
    gone,
    main_proxy,
    ours,
    targets,
    udp_ports,
)

MESSAGE_ERROR = 0x10E
CONNECT_ERROR = 0x10F
DATAGRAM_ERROR = 0x33

suite = Suite("aioquic through a proxy")


class World:
    def __init__(self, proxy, targets):
        self.proxy = proxy
        self.targets = targets

    def client(self, *arguments, **settings):
        return client(self.proxy, *arguments, **settings)


# ---- UDP: heads


@suite.case("udp: the settings that a tunnel needs, and the fields of a 200")
async def head(world):
    async with world.client() as one:
        settings = await one.settings()
        for setting in (0x08, 0x33):
            same(settings.get(setting), 1, f"setting {setting:#x}")
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        same(tunnel.exchange.field("capsule-protocol"), "?1", "capsule-protocol")
        for name in ("content-length", "content-type", "transfer-encoding"):
            same(tunnel.exchange.field(name), None, name)


@suite.case("udp: a target that nobody can mean is 400, and the connection goes on")
async def bad_targets(world):
    root = "/.well-known/masque/udp"
    wrong = {
        f"{root}/127.0.0.1/0/": (400,),
        f"{root}/127.0.0.1/70000/": (400,),
        f"{root}/127.0.0.1/-1/": (400,),
        f"{root}/127.0.0.1/http/": (400,),
        f"{root}/%5B%3A%3A1%5D/53/": (400,),  # an address in brackets
        f"{root}/%253A%253A1/53/": (400,),  # encoded twice
        f"{root}/fe80%3A%3A1%25lo/53/": (400,),  # a zone
        f"{root}/a%2Fb/53/": (400,),
        f"{root}/a%00b/53/": (400,),
        f"{root}//53/": (400, 404),
        f"{root}/127.0.0.1//": (400, 404),
        f"{root}/127.0.0.1/": (400, 404),
        f"{root}/": (400, 404),
        f"{root}/127.0.0.1/53/more/": (400, 404),
        "/nothing/127.0.0.1/53/": (404,),
    }
    async with world.client() as one:
        for path, statuses in wrong.items():
            answer = await one.answer(path)
            check(answer.status in statuses, f"{path}: status {answer.status}, not {statuses}")
            same(answer.field("capsule-protocol"), None, f"{path}: capsule-protocol")
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        await tunnel.echo(b"after all of them")


@suite.case("udp: another method is 405, an unknown protocol is 501")
async def others(world):
    path = path_of("127.0.0.1", world.targets.port)
    async with world.client() as one:
        await one.settings()
        for method in ("GET", "POST", "HEAD"):
            same((await one.start(method, path).done()).status, 405, method)
        same((await one.answer(path, protocol="connect-nothing")).status, 501, "status")
        await (await one.tunnel("127.0.0.1", world.targets.port)).echo(b"and a good one")


@suite.case("udp: a GET beside a tunnel on the same connection is answered")
async def beside(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        for number in range(3):
            await tunnel.echo(b"before GET %d" % number)
            answer = await one.get("/")
            check(answer.status < 500, f"status {answer.status}")
        await tunnel.echo(b"after them")


@suite.case("udp: a capsule-protocol field of another type, or twice, is as if there were none")
async def odd_field(world):
    field = b"capsule-protocol"
    path = path_of("127.0.0.1", world.targets.port)
    async with world.client() as one:
        await one.settings()
        for number, fields in enumerate(([(field, b"1")], [(field, b"?1;a=b")], [(field, b"?1")] * 2, [])):
            exchange = one.start(
                "CONNECT", path, fields, end=False, pseudo=[(b":protocol", b"connect-udp")]
            )
            await exchange.head()
            same(exchange.status, 200, f"status with {fields}")


# ---- UDP: payloads


@suite.case("udp: payloads of all sizes, in both families, come back")
async def sizes(world):
    async with world.client() as one:
        for host, port in world.targets.addresses():
            tunnel = await one.tunnel(host, port)
            for size in (0, 1, 100, 1199, 1200):
                await tunnel.echo(noise(size))
            seen = world.targets.echoes[host].payloads()
            check(noise(1200) in seen and b"" in seen, f"the echo on {host} saw {len(seen)} packets")


@suite.case("udp: a name as target, with escapes that need not be")
async def named(world):
    async with world.client() as one:
        tunnel = await one.tunnel("localhost", world.targets.port)
        await tunnel.echo(b"to localhost")
        path = path_of("127.0.0.1", world.targets.port).replace("127", "%31%32%37")
        await (await one.ask(path).opened()).echo(b"with escapes")


@suite.case("udp: twenty tunnels on one connection, each with a socket of its own")
async def twenty(world):
    async with world.client() as one:
        tunnels = [await one.tunnel("127.0.0.1", world.targets.port) for _ in range(20)]
        words = [b"of tunnel %d" % number for number in range(20)]
        await asyncio.gather(*(tunnel.echo(word) for tunnel, word in zip(tunnels, words)))
        for tunnel, word in zip(tunnels, words):
            same(set(tunnel.packets()), {word}, "what came through it")
        ports = {world.targets.packets.sender(word) for word in words}
        same(len(ports), 20, "sockets")


@suite.case("udp: datagrams sent with the request, before its answer, do no harm")
async def early(world):
    async with world.client() as one:
        await one.settings()
        tunnel = one.ask(path_of("127.0.0.1", world.targets.port))
        for number in range(5):
            tunnel.datagram(b"early %d" % number)
        tunnel.capsule(DATAGRAM, in_context(b"early in a capsule"))
        await tunnel.opened()
        await tunnel.echo(b"late")
        early = [one for one in tunnel.packets() if one.startswith(b"early")]
        print(f"# {len(early)} of 6 early datagrams came back")


@suite.case("udp: unknown contexts are dropped, and so are datagrams without one")
async def contexts(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        for context in (1, 2, 63, 64, 1 << 40):
            tunnel.datagram(b"of an unknown context", context)
        await tunnel.echo(b"of context 0")
        check(b"of an unknown context" not in world.targets.packets.payloads(), "one arrived")
        tunnel.raw(b"")  # no context id
        tunnel.raw(b"\xc0")  # a part of one
        await tunnel.echo(b"of context 0 again")


@suite.case("udp: a packet that fits into no datagram is dropped, and the tunnel lives")
async def too_large(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        tunnel.capsule(DATAGRAM, in_context(noise(9000)))
        await tunnel.echo(b"a small one after it")
        # Not as a capsule: whoever probes for the size of packets must see it lost.
        same([len(packet) for packet in tunnel.packets() if len(packet) > 5000], [], "large ones back")
        arrived = noise(9000) in world.targets.packets.payloads()
        print(f"# 9,000 bytes in a capsule {'reached' if arrived else 'did not reach'} the target")


# ---- UDP: capsules


@suite.case("udp: payloads in DATAGRAM capsules, beside those in frames")
async def mixed(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        in_capsule = lambda payload: tunnel.capsule(DATAGRAM, in_context(payload))
        for size in (0, 1, 1200):
            await tunnel.echo(b"c" + noise(size), in_capsule)
            await tunnel.echo(b"d" + noise(size)[:1199])
        same(len(tunnel.packets("datagrams")), len(tunnel.packets()), "in frames, of all answers")
        # Several at once, then one in three pieces.
        words = [b"of several %d" % number for number in range(10)]
        tunnel.write(b"".join(capsule(DATAGRAM, in_context(word)) for word in words))
        for word in words:
            check(await tunnel.came(word, 3), f"{word} did not come back")
        whole = capsule(DATAGRAM, in_context(b"in three pieces"))
        for piece in (whole[:1], whole[1:5], whole[5:]):
            tunnel.write(piece)
            await one.ping()
        check(await tunnel.came(b"in three pieces", 3), "the one in pieces did not come back")


@ours(suite)("udp: a client without datagrams gets its answers in capsules")
async def fallback(world):
    for kind, settings in (
        (PlainClient, {}),
        (PlainClient, {"max_datagram_frame_size": None}),
    ):
        async with world.client(kind, **settings) as one:
            tunnel = await one.tunnel("127.0.0.1", world.targets.port)
            in_capsule = lambda payload: tunnel.capsule(DATAGRAM, in_context(payload))
            for size in (0, 1, 1200, 1400):
                await tunnel.echo(noise(size), in_capsule, form="capsules")
            same(tunnel.datagrams, [], "datagrams in frames")


@suite.case("udp: unknown capsules and contexts in capsules are skipped")
async def unknown_capsules(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        for kind in (0x1717, 0x2843, 0x2028D7F2, 2**62 - 1):
            for size in (0, 1, 100_000):
                tunnel.capsule(kind, noise(size))
        tunnel.capsule(DATAGRAM, in_context(b"of an unknown context", 2))
        await tunnel.echo(b"in a capsule", lambda word: tunnel.capsule(DATAGRAM, in_context(word)))
        await tunnel.echo(b"in a frame")


@suite.case("udp: a FIN within a capsule is malformed: 0x10e")
async def cut_off(world):
    whole = capsule(DATAGRAM, in_context(b"never sent whole"))
    async with world.client() as one:
        for cut in (1, 2, len(whole) - 1):
            tunnel = await one.tunnel("127.0.0.1", world.targets.port)
            tunnel.write(whole[:cut], end=True)
            await tunnel.aborted(MESSAGE_ERROR)
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        await tunnel.echo(b"on the next stream")
        check(b"never sent whole"[:-1] not in world.targets.packets.payloads(), "a part arrived")


@ours(suite)("udp: a DATAGRAM capsule without a whole context id is malformed: 0x10e")
async def malformed(world):
    async with world.client() as one:
        for value in (b"", b"\x40", b"\xc0\0\0"):
            tunnel = await one.tunnel("127.0.0.1", world.targets.port)
            tunnel.capsule(DATAGRAM, value)
            await tunnel.aborted(MESSAGE_ERROR)
        await (await one.tunnel("127.0.0.1", world.targets.port)).echo(b"after them")


@ours(suite)("udp: a payload of more than 65,527 bytes ends its tunnel")
async def beyond_udp(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        tunnel.capsule(DATAGRAM, in_context(bytes(65528)))
        await tunnel.aborted(MESSAGE_ERROR, DATAGRAM_ERROR)
        await (await one.tunnel("127.0.0.1", world.targets.port)).echo(b"after it")


# ---- UDP: ends


async def socket_of(world, tunnel, word):
    """The port of the proxy's socket for a tunnel."""
    await tunnel.echo(word)
    port = world.targets.packets.sender(word)[1]
    check(port in udp_ports(), "the socket is not in the system's table")
    return port


@suite.case("udp: the client's FIN ends the tunnel: FIN comes back, the socket is closed")
async def finished(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        port = await socket_of(world, tunnel, b"until FIN")
        tunnel.finish()
        await tunnel.until(lambda: tunnel.exchange.ended, "no FIN")
        same(tunnel.exchange.reset_code, None, "reset")
        check(await gone(port), "the proxy's socket is still there")


@suite.case("udp: the client's reset, and its connection's end, close the socket")
async def cancelled(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        port = await socket_of(world, tunnel, b"until the reset")
        tunnel.reset()
        check(await gone(port), "the proxy's socket is still there after a reset")
        tunnel = await one.tunnel("127.0.0.1", world.targets.port)
        port = await socket_of(world, tunnel, b"until the end of the connection")
    check(await gone(port), "the proxy's socket is still there after its connection")


@suite.case("udp: a target where nobody listens ends the tunnel")
async def dead(world):
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", free_port())
        ended = lambda: tunnel.exchange.ended or tunnel.exchange.reset_code is not None
        for _ in range(20):
            if ended():
                break
            with contextlib.suppress(Exception):
                tunnel.datagram(b"is anybody there?")
            await asyncio.sleep(0.1)
        check(ended(), "the stream goes on")
        await (await one.tunnel("127.0.0.1", world.targets.port)).echo(b"on the next stream")


# ---- who may, and whereto


@ours(suite)("policy: targets that are not allowed are 403, destination_ip_prohibited")
async def prohibited(world):
    async with world.client() as one:
        # No payload is sent there, whatever the answer.
        answer = await one.answer(path_of("10.0.0.1", 4433))
        same(answer.status, 403, "status of 10.0.0.1")
        told = answer.field("proxy-status") or ""
        check("destination_ip_prohibited" in told, f"proxy-status: {told}")
    # And by default so is what leads back to the proxy's own machine, however it is written.
    strict = Proxy(log="aqueduct-proxy-strict.log")
    try:
        async with client(strict) as one:
            for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "localhost"):
                for kind, protocol in (("udp", "connect-udp"), ("tcp", "connect-tcp-12")):
                    path = path_of(host, world.targets.tcp["echo"], kind)
                    answer = await one.answer(path, protocol=protocol)
                    same(answer.status, 403, f"status of {protocol} to {host}")
                    told = answer.field("proxy-status") or ""
                    check("destination_ip_prohibited" in told, f"proxy-status of {host}: {told}")
                    check("next-hop" not in told, f"an address is told: {told}")
    finally:
        await asyncio.to_thread(strict.stop)


@ours(suite)("policy: a name that does not resolve is told as dns_error")
async def no_name(world):
    async with world.client() as one:
        answer = await one.answer(path_of("no-such-name.invalid", 53))
        check(answer.status in (502, 504), f"status {answer.status}")
        told = answer.field("proxy-status") or ""
        check("dns_error" in told or "dns_timeout" in told, f"proxy-status: {told}")


@ours(suite)("policy: without the token it is 401 with a challenge, with it a tunnel")
async def authorised(world):
    secret = WORK / "masque-bearer.txt"
    secret.write_text(TOKEN + "\n")
    guarded = Proxy(*Proxy.loopback, "--bearer-file", str(secret), log="aqueduct-proxy-bearer.log")
    try:
        async with client(guarded) as one:
            udp = path_of("127.0.0.1", world.targets.port)
            tcp = path_of("127.0.0.1", world.targets.tcp["echo"], "tcp")
            for path, protocol in ((udp, "connect-udp"), (tcp, "connect-tcp-12")):
                for value in (None, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Basic OjE="):
                    fields = [(b"authorization", value.encode())] if value else []
                    answer = await one.answer(path, fields, protocol)
                    same(answer.status, 401, f"{protocol}: status with {value}")
                    challenge = (answer.field("www-authenticate") or "").lower()
                    check("bearer" in challenge, f"challenge: {challenge!r}")
            fields = [(b"authorization", f"Bearer {TOKEN}".encode())]
            tunnel = await one.tunnel("127.0.0.1", world.targets.port, fields)
            await tunnel.echo(b"who has the token may")
    finally:
        secret.unlink()
        await asyncio.to_thread(guarded.stop)


# ---- TCP in capsules


async def echoed(tunnel, protocol, content):
    """Sends it in pieces with FINAL_DATA behind, and wants it back with the end of the other side."""
    data, final = CONTENTS[protocol]
    rest, piece = content, 1
    while rest:
        tunnel.capsule(data, rest[:piece])
        rest, piece = rest[piece:], min(piece * 3 + 1, 40_000)
        await asyncio.sleep(0)
    tunnel.capsule(final, b"", end=True)
    await tunnel.until(lambda: tunnel.exchange.ended, "no FIN", 20)
    came, over = tunnel.content(protocol)
    check(came == content, f"{len(came)} other bytes came, not these {len(content)}")
    check(over, "FIN without FINAL_DATA")


@suite.case("tcp: echoes under each name with its capsules, up to 1 MB", seconds=60)
async def tcp_echo(world):
    async with world.client() as one:
        for protocol in CONTENTS:
            for size in (0, 1, 50_000):
                tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["echo"], protocol=protocol)
                same(tunnel.exchange.field("capsule-protocol"), "?1", "capsule-protocol")
                await echoed(tunnel, protocol, noise(size))
        tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["echo"], protocol="connect-tcp-12")
        await echoed(tunnel, "connect-tcp-12", noise(1 << 20))


@suite.case("tcp: half closes, from either side")
async def tcp_half(world):
    async with world.client() as one:
        for protocol, (data, final) in CONTENTS.items():
            # Ours first: the answer comes after our end.
            tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["digest"], protocol=protocol)
            tunnel.capsule(data, b"all of ")
            tunnel.capsule(final, b"it")
            await tunnel.until(lambda: tunnel.content(protocol)[1], "no FINAL_DATA")
            wanted = hashlib.sha256(b"all of it").hexdigest().encode()
            same(tunnel.content(protocol)[0], wanted, "answer after our end")
            # Theirs first: they still listen.
            tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["greet"], protocol=protocol)
            await tunnel.until(lambda: tunnel.content(protocol)[1], "no FINAL_DATA")
            same(tunnel.content(protocol)[0], GREETING, "greeting")
            word = f"after their end, {protocol}".encode()
            tunnel.capsule(data, word)
            tunnel.capsule(final, b"", end=True)
            await tunnel.until(lambda: tunnel.exchange.ended, "no FIN")
            for _ in range(100):
                if word in world.targets.finished:
                    break
                await asyncio.sleep(0.05)
            check(word in world.targets.finished, "the target did not get what came after its end")


@suite.case("tcp: content behind the request, unknown capsules, and capsules in pieces")
async def tcp_odd(world):
    protocol = "connect-tcp-12"
    data, final = CONTENTS[protocol]
    async with world.client() as one:
        await one.settings()
        path = path_of("127.0.0.1", world.targets.tcp["echo"], "tcp")
        tunnel = one.ask(path, protocol=protocol)
        tunnel.capsule(data, b"early, ")
        await tunnel.opened()
        tunnel.capsule(0x1717, noise(1000))
        tunnel.capsule(data, b"")
        whole = capsule(data, b"in pieces, and ")
        # What there is of a capsule goes on before the rest has come.
        tunnel.write(whole[:-5])
        part = b"early, in pieces,"[: 7 + len(whole) - 5 - 5]
        await tunnel.until(lambda: tunnel.content(protocol)[0].startswith(part), "no part of a capsule")
        tunnel.write(whole[-5:])
        tunnel.capsule(final, b"with the end", end=True)
        await tunnel.until(lambda: tunnel.exchange.ended, "no FIN")
        same(tunnel.content(protocol), (b"early, in pieces, and with the end", True), "content")


@ours(suite)("tcp: what is no way to go on ends the tunnel")
async def tcp_wrong(world):
    protocol = "connect-tcp-12"
    data, final = CONTENTS[protocol]
    async with world.client() as one:
        # Of a target that has not ended itself: behind its FIN there is nothing to be reset.
        for after in (data, final):
            tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["echo"], protocol=protocol)
            tunnel.write(capsule(final, b"the end") + capsule(after, b"or not"))
            await tunnel.aborted(MESSAGE_ERROR)
        tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["echo"], protocol=protocol)
        tunnel.write(capsule(data, b"never sent whole")[:-3], end=True)
        await tunnel.aborted(MESSAGE_ERROR, CONNECT_ERROR)


@suite.case("tcp: RST is a reset with 0x10f, and a stream that is given up is RST")
async def tcp_reset(world):
    protocol = "connect-tcp-12"
    data, _ = CONTENTS[protocol]
    async with world.client() as one:
        tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["reset"], protocol=protocol)
        tunnel.capsule(data, b"go away")
        await tunnel.aborted(CONNECT_ERROR)
        for way in ("reset", "finish"):
            word = f"until {way}".encode()
            tunnel = await one.tunnel("127.0.0.1", world.targets.tcp["digest"], protocol=protocol)
            tunnel.capsule(data, word)
            await one.ping()
            await asyncio.sleep(0.1)
            getattr(tunnel, way)()
            ended = lambda: word in [*world.targets.resets, *world.targets.finished]
            for _ in range(100):
                if ended():
                    break
                await asyncio.sleep(0.05)
            check(word in world.targets.resets, f"the target saw no RST after {way}: {ended()}")


@suite.case("tcp: a port where nobody listens is 5xx with the reason")
async def tcp_refused(world):
    port = free_port()
    async with world.client() as one:
        for protocol in CONTENTS:
            answer = await one.answer(path_of("127.0.0.1", port, "tcp"), protocol=protocol)
            check(500 <= answer.status < 600, f"status {answer.status}")
            check("error=" in (answer.field("proxy-status") or ""), "no reason in proxy-status")


@ours(suite)("tcp: the reason for a port where nobody listens is connection_refused, 502")
async def tcp_reason(world):
    async with world.client() as one:
        answer = await one.answer(path_of("127.0.0.1", free_port(), "tcp"), protocol="connect-tcp-12")
        same(answer.status, 502, "status")
        check("connection_refused" in answer.field("proxy-status"), answer.field("proxy-status"))


@ours(suite)("tcp: UDP's protocol on TCP's path, and the other way round, is no tunnel")
async def crossed(world):
    port = world.targets.tcp["echo"]
    async with world.client() as one:
        for path, protocol in (
            (path_of("127.0.0.1", port, "tcp"), "connect-udp"),
            (path_of("127.0.0.1", port, "udp"), "connect-tcp-12"),
        ):
            answer = await one.answer(path, protocol=protocol)
            check(answer.status in (400, 404, 501), f"{protocol} on {path}: {answer.status}")


# ---- CONNECT as it always was


@ours(suite)("connect: an echo in DATA frames, and half closes", seconds=60)
async def classic(world):
    async with world.client() as one:
        await one.settings()
        for size in (0, 1, 50_000, 1 << 20):
            tunnel = await one.classic(f"127.0.0.1:{world.targets.tcp['echo']}").opened()
            tunnel.write(noise(size), end=True)
            await tunnel.until(lambda: tunnel.exchange.ended, "no FIN", 20)
            check(bytes(tunnel.exchange.body) == noise(size), f"the echo of {size} bytes differs")
        tunnel = await one.classic(f"127.0.0.1:{world.targets.tcp['digest']}").opened()
        tunnel.write(b"all of it", end=True)
        await tunnel.until(lambda: tunnel.exchange.ended, "no FIN")
        wanted = hashlib.sha256(b"all of it").hexdigest().encode()
        same(bytes(tunnel.exchange.body), wanted, "answer after our end")


@ours(suite)("connect: RST is a reset with 0x10f, refusals are told, authorities are checked")
async def classic_ends(world):
    async with world.client() as one:
        await one.settings()
        tunnel = await one.classic(f"127.0.0.1:{world.targets.tcp['reset']}").opened()
        tunnel.write(b"go away")
        await tunnel.aborted(CONNECT_ERROR)
        for authority, statuses in (
            (f"127.0.0.1:{free_port()}", (502,)),
            ("127.0.0.1:0", (400,)),
            ("127.0.0.1", (400,)),
        ):
            tunnel = one.classic(authority)
            exchange = tunnel.exchange
            over = lambda: exchange.fields is not None or exchange.reset_code is not None
            await tunnel.until(over, f"no answer for {authority}")
            malformed = exchange.reset_code == MESSAGE_ERROR and 400 in statuses
            check(malformed or exchange.status in statuses, f"{authority}: {exchange.status}")
        # In brackets an address of the other family; nobody listens there.
        tunnel = one.classic(f"[::1]:{free_port()}")
        await tunnel.until(lambda: tunnel.exchange.fields is not None, "no answer")
        same(tunnel.exchange.status, 502, "status of a closed port on ::1")


@ours(suite)("SIGTERM: tunnels end, and the program with 0")
async def sigterm(world):
    own = main_proxy("--drain-timeout", "1s", log="aqueduct-proxy-sigterm.log")
    try:
        async with client(own) as one:
            tunnel = await one.tunnel("127.0.0.1", world.targets.port)
            port = await socket_of(world, tunnel, b"until SIGTERM")
            own.interrupt()
            await one.until(lambda: one.goaways)
            check(await gone(port, 8), "the proxy's socket is still there")
        same(await asyncio.to_thread(own.child.wait, 8), 0, "exit status")
    finally:
        await asyncio.to_thread(own.stop)


@contextlib.asynccontextmanager
async def world():
    async with targets() as made:
        proxy = await asyncio.to_thread(main_proxy)
        try:
            yield World(proxy, made)
        finally:
            await asyncio.to_thread(proxy.stop)


if __name__ == "__main__":
    suite.main(world)
