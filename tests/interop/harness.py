"""What every Python interop script shares: cases with deadlines, the `aqueduct` program, certificates.

A script declares a `Suite`, marks coroutines with `@suite.case("name")` and ends with
`suite.main()`. Each case prints `ok NAME` or `FAIL NAME: why`; the last line is
`N passed, N failed`, and the exit status says whether everything passed.
"""

import asyncio
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = pathlib.Path(os.environ.get("INTEROP_WORK", ROOT / "target" / "interop"))
MB10 = 10 * 1024 * 1024

# A script that outlives this many seconds is killed by its own alarm.
SCRIPT_DEADLINE = 240
# All replays of a script; each takes less time than what it replays.
REPLAY_DEADLINE = 60


class Failed(Exception):
    """An expectation that did not hold; its text is the reason that is printed."""


def check(condition, why):
    """Fails the running case with `why` unless `condition` holds."""
    if not condition:
        raise Failed(why)


def same(seen, wanted, what):
    """Fails the running case unless `seen` equals `wanted`; long values are cut in the message."""
    if seen != wanted:
        raise Failed(f"{what}: wanted {_short(wanted)}, saw {_short(seen)}")


def _short(value):
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


def pattern(size):
    """The body of `/bytes/SIZE`: byte i is (i*131 + (i>>8)) & 255."""
    block = 65536  # one period of both terms
    whole = bytes((i * 131 + (i >> 8)) & 255 for i in range(min(size, block)))
    return (whole * (size // block + 1))[:size] if size > block else whole


def noise(size):
    """A body that repeats nowhere near a frame or packet size, the same on every run."""
    return hashlib.shake_128(b"aqueduct interop").digest(size)


class Suite:
    """Cases in the order of declaration, each with its own deadline."""

    def __init__(self, name):
        self.name = name
        self.cases = []
        self.passed = 0
        self.failed = 0

    def case(self, name, seconds=30):
        def add(body):
            self.cases.append((name, body, seconds))
            return body

        return add

    def main(self, fixture):
        """Runs all cases; `fixture` is an async context manager whose value each case receives."""
        for sig in (signal.SIGALRM, signal.SIGTERM):
            signal.signal(sig, self._out_of_time)
        signal.alarm(SCRIPT_DEADLINE)
        sys.exit(asyncio.run(self._run(fixture)))

    def _out_of_time(self, *_):
        for program in list(Program.running):
            program.kill()
        print(f"FAIL {self.name}: stopped before its end", flush=True)
        print(f"{self.passed} passed, {self.failed + 1} failed", flush=True)
        os._exit(1)

    async def _run(self, fixture):
        only = sys.argv[1:]
        wanted = [c for c in self.cases if not only or any(o in c[0] for o in only)]
        try:
            async with fixture() as world:
                for name, body, seconds in wanted:
                    why = await self._one(lambda: body(world), seconds)
                    self._tell(name, why)
            if Recordings.all:
                why = await self._one(Recordings.replay, REPLAY_DEADLINE)
                self._tell("what was recorded replays the same", why)
        except Exception as error:  # the fixture itself failed: nothing after it can be trusted
            traceback.print_exc()
            print(f"FAIL {self.name}: {error}", flush=True)
            self.failed += 1
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1

    def _tell(self, name, why):
        self.passed += why is None
        self.failed += why is not None
        print(f"ok {name}" if why is None else f"FAIL {name}: {why}", flush=True)

    async def _one(self, body, seconds):
        try:
            await asyncio.wait_for(body(), seconds)
        except Failed as error:
            return str(error)
        except asyncio.TimeoutError:
            return f"not done after {seconds} s"
        except Exception as error:
            if os.environ.get("INTEROP_TRACE"):
                traceback.print_exc()
            return f"{type(error).__name__}: {error}"
        return None


def binary():
    """The `aqueduct` program under test."""
    chosen = os.environ.get("AQUEDUCT_BIN")
    for path in [chosen] if chosen else [TARGET / "release/aqueduct", TARGET / "debug/aqueduct"]:
        if pathlib.Path(path).exists():
            return str(path)
    sys.exit("no aqueduct program: set AQUEDUCT_BIN or run `cargo build --release -p aqueduct-cli`")


class Recordings:
    """Files of `--record`: one of every `aqueduct` that talks, replayed when all has ended.

    Those that do not replay stay, for `aqueduct replay FILE` and a closer look.
    """

    all = []

    @classmethod
    def begin(cls, what):
        """The name of a new file."""
        folder = WORK / "recordings"
        folder.mkdir(parents=True, exist_ok=True)
        script = pathlib.Path(sys.argv[0]).stem
        path = folder / f"{script}-{os.getpid()}-{len(cls.all)}-{what}.rec"
        cls.all.append(path)
        return path

    @classmethod
    async def replay(cls):
        """Replays what was recorded and removes it; fails with the first that differs."""
        failures, replayed, total = [], [], 0
        for path in cls.all:
            # Programs that refuse their arguments record nothing, nor may those that are killed.
            if not path.exists() or path.stat().st_size == 0:
                path.unlink(missing_ok=True)
                continue
            total += path.stat().st_size
            status, out, err = await run_program("replay", path, "--json")
            if status == 0:
                replayed += [json.loads(line) for line in out.splitlines()]
                path.unlink()
            else:
                why = " ".join(err.split()) or f"exit status {status}"
                failures.append(f"{path}: {why}")
        inputs = sum(line["inputs"] for line in replayed)
        cut_off = sum(not line["complete"] for line in replayed)
        print(
            f"# replayed {len(replayed)} connections ({cut_off} cut off), {inputs} inputs, "
            f"{total / 1e6:.1f} MB",
            flush=True,
        )
        check(not failures, f"{len(failures)} of {len(cls.all)}, first {''.join(failures[:1])}")
        check(inputs > 0, "nothing was recorded")


class Program:
    """A server run as a child: its ready line, its later JSON lines, and its certain end."""

    running = []

    def __init__(self, command, log, environment=None):
        logs = WORK / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs / log
        self.lines = []
        self._arrived = threading.Condition()
        with open(self.log, "wb") as stderr:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )
        Program.running.append(self)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for raw in self.child.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            with self._arrived:
                self.lines.append(line)
                self._arrived.notify_all()

    def wait_line(self, wanted, seconds=10, since=0):
        """The first JSON line from index `since` on that `wanted` accepts, or None."""
        until = time.monotonic() + seconds
        with self._arrived:
            while True:
                for line in self.lines[since:]:
                    if wanted(line):
                        return line
                left = until - time.monotonic()
                # The reader thread needs a moment for what a program wrote just before its end.
                over = self.child.poll() is not None and left < seconds - 1
                if left <= 0 or over:
                    return None
                self._arrived.wait(min(left, 0.2))

    def interrupt(self, sig=signal.SIGTERM):
        self.child.send_signal(sig)

    def stop(self):
        """Ends the child, politely first, and returns its exit status."""
        if self.child.poll() is None:
            self.interrupt()
            try:
                self.child.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()
        if self in Program.running:
            Program.running.remove(self)
        return self.child.returncode

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait(5)


class Aqueduct(Program):
    """`aqueduct serve` on an ephemeral loopback port."""

    def __init__(self, *extra, log="aqueduct-serve.log"):
        self.cert = WORK / f"cert-{os.getpid()}-{len(Program.running)}.pem"
        self.cert.parent.mkdir(parents=True, exist_ok=True)
        self.recording = Recordings.begin("serve")
        command = [binary(), "serve", "--listen", "127.0.0.1:0", "--cert-out", str(self.cert)]
        command += ["--record", str(self.recording)]
        # The same cases on another adapter.
        if runtime := os.environ.get("AQUEDUCT_RUNTIME"):
            command += ["--runtime", runtime]
        super().__init__([*command, *(extra or ["--demo"]), "--json"], log)
        self.ready = self.wait_line(lambda line: line.get("ready") is True, 20)
        if not self.ready:
            self.stop()
            raise Failed(f"aqueduct serve printed no ready line; see {self.log}")
        host, port = self.ready["address"].rsplit(":", 1)
        self.host, self.port = host.strip("[]"), int(port)
        self.authority = f"{host}:{port}"

    async def event(self, name, seconds=10, since=0, **fields):
        """Waits for a JSON line with `event` equal to `name` and these fields."""

        def wanted(line):
            return line.get("event") == name and all(line.get(k) == v for k, v in fields.items())

        line = await asyncio.to_thread(self.wait_line, wanted, seconds, since)
        check(line, f"the server printed no {name} event with {fields}")
        return line

    def stop(self):
        status = super().stop()
        self.cert.unlink(missing_ok=True)
        return status


class Listener(Program):
    """`aqueduct quic listen` for one protocol on an ephemeral loopback port."""

    def __init__(self, name, *extra, log="aqueduct-quic-listen.log"):
        self.cert = WORK / f"cert-{os.getpid()}-{len(Program.running)}-quic.pem"
        self.cert.parent.mkdir(parents=True, exist_ok=True)
        command = [binary(), "quic", "listen", "127.0.0.1:0", "--alpn", name, "--json"]
        command += ["--cert-out", str(self.cert)]
        super().__init__([*command, *map(str, extra)], log)
        self.ready = self.wait_line(lambda line: line.get("ready") is True, 20)
        if not self.ready:
            self.stop()
            raise Failed(f"aqueduct quic listen printed no ready line; see {self.log}")
        self.host, port = self.ready["address"].rsplit(":", 1)
        self.port = int(port)

    event = Aqueduct.event

    def close(self):
        self.stop()
        self.cert.unlink(missing_ok=True)


class Nat:
    """A way to a server that changes the client's address when it is told to."""

    def __init__(self, host, port):
        self.server = (host, port)
        self.client = None

    async def __aenter__(self):
        self.front = await self._socket(self._from_client)
        self.port = self.front.get_extra_info("sockname")[1]
        await self.move()
        return self

    async def __aexit__(self, *_):
        self.front.close()
        self.behind.close()

    async def _socket(self, received):
        class End(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                received(data, address)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(End, local_addr=("127.0.0.1", 0))
        return transport

    async def move(self):
        """Everything comes from another port from now on."""
        before = getattr(self, "behind", None)
        self.behind = await self._socket(self._from_server)
        self.back = "{}:{}".format(*self.behind.get_extra_info("sockname"))
        if before:
            before.close()

    def _from_client(self, data, client):
        self.client = client
        self.behind.sendto(data, self.server)

    def _from_server(self, data, _server):
        if self.client:
            self.front.sendto(data, self.client)


class Relay:
    """One address for several servers: each further client gets the next of them.

    What comes from a server takes its time, so that a client has sent what it sends ahead of the
    handshake long before that can be complete.
    """

    DELAY = 0.05

    def __init__(self, *servers):
        self.waiting = list(servers)
        self.backs = {}

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self.front = await self._socket(self._from_client)
        self.authority = "{}:{}".format(*self.front.get_extra_info("sockname"))
        return self

    async def __aexit__(self, *_):
        self.front.close()
        for back in self.backs.values():
            back.close()

    async def _socket(self, received):
        class End(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                asyncio.ensure_future(received(data, address))

        address = ("127.0.0.1", 0)
        transport, _ = await self.loop.create_datagram_endpoint(End, local_addr=address)
        return transport

    async def _from_client(self, data, client):
        if client not in self.backs:
            if not self.waiting:
                return

            async def back(data, _server):
                await asyncio.sleep(self.DELAY)
                self.front.sendto(data, client)

            host, port = self.waiting.pop(0).rsplit(":", 1)
            # What follows at once goes the same way.
            self.backs[client] = made = Way((host, int(port)))
            made.opened(await self._socket(back))
        self.backs[client].send(data)


class Way:
    """From a relay to a server: what comes before its socket is there waits for it."""

    def __init__(self, server):
        self.server, self.socket, self.early = server, None, []

    def opened(self, socket):
        self.socket = socket
        for data in self.early:
            socket.sendto(data, self.server)

    def send(self, data):
        if self.socket:
            self.socket.sendto(data, self.server)
        else:
            self.early.append(data)

    def close(self):
        if self.socket:
            self.socket.close()


async def run_aqueduct(command, *arguments, seconds=60, stdin=None):
    """Runs `aqueduct COMMAND ARGUMENTS`, recorded, to its end; returns (status, stdout, stderr)."""
    record = ("--record", Recordings.begin(command))
    return await run_program(command, *record, *arguments, seconds=seconds, stdin=stdin)


async def run_program(*arguments, seconds=60, stdin=None):
    """Runs `aqueduct ARGUMENTS` to its end; returns (status, stdout, stderr)."""
    child = await asyncio.create_subprocess_exec(
        binary(),
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(stdin), seconds)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        child.kill()
        await child.wait()
        raise Failed(f"aqueduct {arguments[0]} had not ended after {seconds} s") from None
    return child.returncode, out, err.decode(errors="replace")


def missing(program):
    """Whether a program is not there; a case without it is left out, with a word."""
    if shutil.which(program):
        return False
    print(f"# {program} is not there: left out")
    return True


@contextlib.asynccontextmanager
async def go_server(program, folder, *options, log):
    """A server of `go/`, with the certificate of a folder; its `address` is in its ready line."""
    command = [str(program), "server", *options]
    command += ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]
    server = Program(command, log)
    try:
        ready = lambda line: line.get("ready") is True
        server.ready = await asyncio.to_thread(server.wait_line, ready, 20)
        check(server.ready, f"{program} printed no ready line; see {server.log}")
        server.ca = folder / "ca.pem"
        yield server
    finally:
        await asyncio.to_thread(server.stop)


async def run_case(server, case, *arguments):
    """Runs a case of a peer's client; returns what it printed, and the server's lines before.

    The arguments are its program and the program's own. Cancelling ends it.
    """
    since = len(server.lines)
    child = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    same(child.returncode, 0, f"exit status of {case} ({err.decode().strip()})")
    return (json.loads(out) if out else {}), since


def certificates(folder):
    """Writes ca.pem, cert.pem and key.pem for localhost and 127.0.0.1; returns the leaf's SHA-256."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def build(subject, issuer, public, signer, days, extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    folder.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = name("aqueduct interop test authority")
    ca_use = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = build(
        ca_name,
        ca_name,
        ca_key.public_key(),
        ca_key,
        10,
        [(x509.BasicConstraints(ca=True, path_length=0), True), (ca_use, True)],
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = build(
        name("localhost"),
        ca_name,
        key.public_key(),
        ca_key,
        10,
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName(names), False),
            (server, False),
        ],
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "cert.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return leaf.fingerprint(hashes.SHA256()).hex()
