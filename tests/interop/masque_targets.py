"""Targets behind a proxy, all on loopback, and the proxies themselves."""

import asyncio
import contextlib
import hashlib
import os
import pathlib
import socket
import struct
import subprocess

from harness import WORK, Failed, Program, Recordings, binary, certificates, check

PEERS = pathlib.Path(os.environ.get("INTEROP_GO", WORK / "go"))
GREETING = b"hello, whoever you are\n"
TOKEN = "interop-token-0123456789"


def other_proxy():
    """The program that stands in for `aqueduct proxy`, to try a script out; None is ours."""
    return os.environ.get("INTEROP_PROXY")


def ours(suite):
    """`suite.case` for what only our proxy is asked: left out with another."""
    return (lambda *_, **__: lambda body: body) if other_proxy() else suite.case


class Packets:
    """A UDP echo that remembers who sent what. asyncio's own sockets send no empty packets."""

    def __init__(self, host, port):
        self.seen = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.socket.bind((host, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self.socket, self.arrived)

    def arrived(self):
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                data, addr = self.socket.recvfrom(65536)
                self.seen.append((addr[:2], data))
                self.socket.sendto(data, addr)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()

    def sender(self, data):
        """Who sent this, or None."""
        return next((addr for addr, one in self.seen if one == data), None)

    def payloads(self):
        return [data for _, data in self.seen]


class Targets:
    """One port for UDP on 127.0.0.1 and ::1, and TCP servers by what they do."""

    def __init__(self):
        self.tcp = {}
        self.resets = []  # the connections that ended with RST
        self.finished = []  # and the content of those that ended with FIN
        self.echoes = {}

    def addresses(self):
        """HOST, PORT of the UDP echo, in each family."""
        return [(host, self.port) for host in self.echoes]

    @property
    def udp(self):
        """The IPv4 one as a command line has it."""
        return f"127.0.0.1:{self.port}"

    @property
    def packets(self):
        return self.echoes["127.0.0.1"]

    async def read(self, reader):
        content = bytearray()
        try:
            while part := await reader.read(65536):
                content += part
        except ConnectionResetError:
            self.resets.append(bytes(content))
            return None
        self.finished.append(bytes(content))
        return bytes(content)

    async def echo(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()

    async def digest(self, reader, writer):
        """Answers when the other side has ended its own."""
        content = await self.read(reader)
        if content is not None:
            writer.write(hashlib.sha256(content).hexdigest().encode())

    async def greet(self, reader, writer):
        """Speaks first, ends its side, and then listens."""
        writer.write(GREETING)
        writer.write_eof()
        await self.read(reader)

    async def reset(self, reader, writer):
        """Ends with RST when something has come."""
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


@contextlib.asynccontextmanager
async def targets():
    """Targets that listen."""
    made, ends = Targets(), contextlib.ExitStack()

    def serving(body):
        async def serve(reader, writer):
            try:
                await body(reader, writer)
            finally:
                writer.close()

        return serve

    with ends:
        for attempt in range(20):  # until a port is free in both families
            made.port = free_port()
            try:
                for host in ("127.0.0.1", "::1"):
                    echo = made.echoes[host] = Packets(host, made.port)
                    ends.callback(echo.close)
                break
            except OSError:
                check(attempt < 19, "no port is free in both families")
        for name in ("echo", "digest", "greet", "reset"):
            server = await asyncio.start_server(serving(getattr(made, name)), "127.0.0.1", 0)
            made.tcp[name] = server.sockets[0].getsockname()[1]
            ends.callback(server.close)
        yield made


def free_port(kind=socket.SOCK_DGRAM):
    """A port where nobody listens now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_ports():
    """The UDP ports that this machine has bound now."""
    ports = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(FileNotFoundError):
            lines = pathlib.Path(table).read_text().splitlines()[1:]
            ports |= {int(line.split()[1].rsplit(":", 1)[1], 16) for line in lines}
    return ports


async def gone(port, seconds=5):
    """Whether a UDP port is closed within a while."""
    for _ in range(int(seconds * 20)):
        if port not in udp_ports():
            return True
        await asyncio.sleep(0.05)
    return False


def recorded(command):
    """`--record FILE` for a command of `aqueduct` that has it."""
    told = subprocess.run([binary(), command, "--help"], capture_output=True, timeout=10)
    return ["--record", str(Recordings.begin(command))] if b"--record" in told.stdout else []


class Proxy(Program):
    """`aqueduct proxy` on an ephemeral loopback port, or the Go program; all have one authority."""

    folder = WORK / "masque-certs"
    loopback = ("--allow", "127.0.0.0/8", "--allow", "::1")

    def __init__(self, *extra, log="aqueduct-proxy.log", program=None):
        """With `program` it is that one, which is told what stands in `extra`."""
        if not (self.folder / "ca.pem").exists() or not Proxy.made:
            certificates(self.folder)
            Proxy.made = True
        self.ca = self.cert = self.folder / "ca.pem"
        if program is None:
            command = [binary(), "proxy", "--listen", "127.0.0.1:0", "--json", *recorded("proxy")]
        else:
            command = [str(program), "server"]
        command += ["--cert", str(self.folder / "cert.pem"), "--key", str(self.folder / "key.pem")]
        super().__init__([*command, *extra], log)
        ready = lambda line: line.get("ready") is True or line.get("event") == "ready"
        self.ready = self.wait_line(ready, 20)
        if not self.ready:
            self.stop()
            raise Failed(f"the proxy printed no ready line; see {self.log}")
        self.authority = self.ready["address"]
        self.host, port = self.authority.rsplit(":", 1)
        self.port = int(port)
        self.url = f"https://{self.authority}"

    made = False

    def template(self, kind="udp"):
        return self.url + "/.well-known/masque/" + kind + "/{target_host}/{target_port}/"


def main_proxy(*extra, log="aqueduct-proxy.log"):
    """The proxy that most cases talk to; loopback is allowed."""
    if program := other_proxy():
        return Proxy(program=program, log=log)
    return Proxy(*Proxy.loopback, *extra, log=log)
