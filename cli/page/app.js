"use strict";

const config = JSON.parse(document.getElementById("config").textContent);
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
// Without a host in the configuration the server is where the page came from.
const url = `https://${config.host ?? location.hostname}:${config.port}${config.path}`;

/* ---- numbers in words ------------------------------------------------ */

const count = new Intl.NumberFormat("en");
function bytes(n) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (n >= size) return `${(n / size).toFixed(2)} ${unit}`;
  }
  return `${n} B`;
}
// Clocks tick in 5 µs on an isolated page, else in 100 µs.
const millis = (t) => t.toFixed(t >= 100 ? 0 : t >= 10 || !window.crossOriginIsolated ? 1 : 2);
const megabits = (n, ms) => (ms > 0 ? (n * 8) / ms / 1000 : 0);
const rate = (m) => (m < 10 ? m.toFixed(2) : m < 100 ? m.toFixed(1) : count.format(Math.round(m)));
function clock(ms) {
  const s = Math.floor(ms / 1000);
  const two = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}`
    : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
const message = (error) => (error && error.message) || String(error);

/* ---- the state of everything ------------------------------------------ */

const WINDOW = 60_000; // milliseconds that the plot of round trips shows at most
const FIRST_WINDOW = 10_000; // and at least
const LOST_AFTER = 2_000; // a datagram not back by then counts as lost
const PING_EVERY = 100;
const SHUTDOWN = "the server is shutting down"; // the reason it gives then
const PING = 0;
const TEXT = 1;

let session = null; // the open or opening session
let pongs = 0;
let samples = []; // {at, rtt}; rtt is null for a lost datagram
let transfer = null; // the last throughput run

function setState(state, label) {
  root.dataset.state = state;
  $("state").textContent = label;
  const open = state === "connected";
  $("disconnect").disabled = !open;
  $("send").disabled = !open;
  $("flow-run").disabled = !open || transfer?.running === true;
  document.title = open ? "Aqueduct" : `${label} · Aqueduct`;
}

function notice(tone, title, text, detail = "") {
  $("notice").className = `notice ${tone}`;
  $("notice-title").textContent = title;
  $("notice-text").textContent = text;
  $("notice-detail").textContent = detail;
  $("notice").hidden = false;
}

function say(direction, words, note) {
  const item = document.createElement("li");
  item.className = direction;
  for (const [name, text] of [["way", { out: "↑", in: "↓", bad: "!" }[direction]], ["words", words], ["note", note]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part);
  }
  const log = $("log");
  log.append(item);
  while (log.children.length > 200) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

/* ---- one session ------------------------------------------------------ */

class Session {
  constructor() {
    this.sent = { datagrams: 0, streams: 0, bytes: 0 };
    this.received = { datagrams: 0, streams: 0, bytes: 0 };
    this.opened = null;
    this.ended = false;
    this.draining = false; // the server said that it will end
    this.waiting = new Map(); // number of a ping -> when it was sent
    this.texts = []; // datagrams with text, and one-way streams, in flight: {words, at}
    this.next = 0;
    const options = {};
    if (config.hash) {
      const value = Uint8Array.from(atob(config.hash), (c) => c.charCodeAt(0));
      options.serverCertificateHashes = [{ algorithm: "sha-256", value }];
    }
    this.transport = new WebTransport(url, options);
  }

  async run() {
    // `closed` is observed from the start, so that a rejection is never left unhandled.
    const closed = this.transport.closed.then(
      (info) => ({ info }),
      (error) => ({ error }),
    );
    try {
      await this.transport.ready;
    } catch (error) {
      this.finish({ error });
      return;
    }
    if (this.ended) return; // replaced while it was opening
    this.opened = performance.now();
    setState("connected", "Connected");
    $("notice").hidden = true;
    this.watchDraining();
    const datagrams = this.transport.datagrams;
    this.writer = (datagrams.createWritable?.() ?? datagrams.writable).getWriter();
    this.timer = setInterval(() => this.ping(), PING_EVERY);
    this.readDatagrams().catch(() => {}); // ends with the session, which `closed` reports
    this.acceptUni().catch(() => {});
    this.acceptBidi().catch(() => {});
    this.finish(await closed);
  }

  async watchDraining() {
    if (!this.transport.draining) return; // not in every browser yet
    try {
      await this.transport.draining;
      this.draining = true;
      if (!this.ended) {
        notice("wait", "The server is draining this session", "It still answers, and will close soon.");
      }
    } catch {
      // The session ended without draining.
    }
  }

  finish({ info, error }) {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.timer);
    if (this.opened === null) {
      setState("failed", "Not connected");
      notice(
        "", "The session did not open",
        config.hash
          ? "Is the server still running? Its self-signed certificate changes each time it starts: reload this page after a restart."
          : "Is the server still running, and does this browser trust its certificate?",
        `${url} — ${message(error ?? "closed before it was ready")}`,
      );
      return;
    }
    setState("closed", "Closed");
    const time = clock(performance.now() - this.opened);
    if (info?.reason === SHUTDOWN || (error && this.draining)) {
      notice("calm", "The server has shut down", `It took its leave after ${time}. Reload this page when it is up again.`);
    } else if (error) {
      notice("", "The connection was lost", "The server went away, or nothing came through for too long.", message(error));
    } else {
      const reason = info.reason ? ` “${info.reason}”` : "";
      notice("calm", "The session is closed", `Close code ${info.closeCode ?? 0}${reason}, after ${time}.`);
    }
  }

  /** Leaves without a notice: another session takes over. */
  abandon() {
    const wasOpen = this.opened !== null;
    this.ended = true;
    clearInterval(this.timer);
    if (wasOpen) this.close("reconnecting");
    else this.transport.ready.then(() => this.close("reconnecting"), () => {});
  }

  close(reason) {
    try {
      this.transport.close({ closeCode: 0, reason });
    } catch {
      // It is closed already.
    }
  }

  /* datagrams: a kind, then a number and the time, or text */

  async sendDatagram(data) {
    await this.writer.write(data);
    this.sent.datagrams += 1;
    this.sent.bytes += data.length;
  }

  ping() {
    const now = performance.now();
    for (const [number, at] of this.waiting) {
      if (now - at < LOST_AFTER) break; // in order of sending
      this.waiting.delete(number);
      samples.push({ at, rtt: null });
    }
    const data = new Uint8Array(16);
    const view = new DataView(data.buffer);
    view.setUint8(0, PING);
    view.setUint32(4, this.next);
    view.setFloat64(8, now);
    this.waiting.set(this.next, now);
    this.next = (this.next + 1) >>> 0;
    this.sendDatagram(data).catch(() => {});
  }

  async readDatagrams() {
    const reader = this.transport.datagrams.readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.received.datagrams += 1;
      this.received.bytes += value.length;
      if (value[0] === PING && value.length === 16) this.pong(value);
      else if (value[0] === TEXT) this.hear(new TextDecoder().decode(value.subarray(1)), "datagram");
      else say("in", new TextDecoder().decode(value), "datagram");
    }
  }

  pong(value) {
    const number = new DataView(value.buffer, value.byteOffset).getUint32(4);
    const at = this.waiting.get(number);
    if (at === undefined) return; // counted as lost, or a copy
    this.waiting.delete(number);
    samples.push({ at, rtt: performance.now() - at });
    root.dataset.pongs = String(++pongs);
  }

  /* streams */

  async readAll(readable) {
    const reader = readable.getReader();
    const decoder = new TextDecoder();
    let words = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return words + decoder.decode();
      this.received.bytes += value.length;
      if (words.length < 4_000) words += decoder.decode(value, { stream: true });
    }
  }

  async acceptUni() {
    const reader = this.transport.incomingUnidirectionalStreams.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.received.streams += 1;
      this.readAll(value).then(
        (words) => this.hear(words, "one-way stream"),
        (error) => say("bad", message(error), "one-way stream"),
      );
    }
  }

  async acceptBidi() {
    const reader = this.transport.incomingBidirectionalStreams.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.received.streams += 1;
      value.writable.close().catch(() => {});
      this.readAll(value.readable).then(
        (words) => this.hear(words, "two-way stream"),
        (error) => say("bad", message(error), "two-way stream"),
      );
    }
  }

  hear(words, carrier) {
    const found = this.texts.findIndex((text) => text.words === words);
    const [sent] = found >= 0 ? this.texts.splice(found, 1) : [];
    say("in", words, sent ? `${carrier} · ${millis(performance.now() - sent.at)} ms` : carrier);
  }

  async talk(words, carrier) {
    const data = new TextEncoder().encode(words);
    const at = performance.now();
    const remember = () => {
      this.texts.push({ words, at });
      if (this.texts.length > 100) this.texts.shift();
    };
    if (carrier === "datagram") {
      const framed = new Uint8Array(data.length + 1);
      framed[0] = TEXT;
      framed.set(data, 1);
      remember();
      await this.sendDatagram(framed);
      return;
    }
    const uni = carrier === "uni";
    const stream = uni
      ? await this.transport.createUnidirectionalStream()
      : await this.transport.createBidirectionalStream();
    this.sent.streams += 1;
    if (uni) remember();
    const writer = (uni ? stream : stream.writable).getWriter();
    await writer.write(data);
    this.sent.bytes += data.length;
    await writer.close();
    if (!uni) {
      const reply = await this.readAll(stream.readable);
      say("in", reply, `two-way stream · ${millis(performance.now() - at)} ms`);
    }
  }

  /* throughput: a pattern goes up one stream and is checked as it comes down */

  async measure(total) {
    const run = { running: true, total, up: 0, down: 0, started: performance.now(), upTime: 0, downTime: 0, points: [{ at: 0, up: 0, down: 0 }], wrong: false };
    transfer = run;
    const sampler = setInterval(() => {
      run.points.push({ at: performance.now() - run.started, up: run.up, down: run.down });
    }, 50);
    try {
      const stream = await this.transport.createBidirectionalStream();
      this.sent.streams += 1;
      run.started = performance.now();
      await Promise.all([this.pour(stream.writable, run), this.drink(stream.readable, run)]);
    } finally {
      clearInterval(sampler);
      run.points.push({ at: performance.now() - run.started, up: run.up, down: run.down });
      run.running = false;
    }
    return run;
  }

  async pour(writable, run) {
    const writer = writable.getWriter();
    while (run.up < run.total) {
      const size = Math.min(pattern.length, run.total - run.up);
      await writer.write(pattern.subarray(0, size));
      run.up += size;
      run.upTime = performance.now() - run.started;
      this.sent.bytes += size;
    }
    await writer.close();
  }

  async drink(readable, run) {
    const reader = readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      for (let i = 0; i < value.length && !run.wrong; i++) {
        run.wrong = value[i] !== pattern[(run.down + i) & 0xffff];
      }
      run.down += value.length;
      run.downTime = performance.now() - run.started;
      this.received.bytes += value.length;
    }
    if (run.down !== run.total) throw new Error(`the stream ended after ${bytes(run.down)}`);
    if (run.wrong) throw new Error("what came back is not what was sent");
  }
}

// Byte i is (i * 131 + (i >> 8)) & 255, which repeats after 64 KiB.
const pattern = Uint8Array.from({ length: 65_536 }, (_, i) => (i * 131 + (i >> 8)) & 255);

/* ---- plots ------------------------------------------------------------ */

/** A canvas as sharp as the screen; answers its context and size in CSS pixels. */
function surface(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return { g, width, height };
}

let colours = {};
function readColours() {
  const style = getComputedStyle(root);
  for (const name of ["ink", "soft", "line", "water", "water-wash", "clay", "bad", "card"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}
readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);

/** The smallest of 1, 2, 5 times a power of ten that cuts `top` into at most `parts`. */
function step(top, parts) {
  const power = 10 ** Math.floor(Math.log10(top / parts));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => top / n <= parts);
}

function grid(g, area, top) {
  const each = step(top, Math.max(3, Math.floor(area.height / 46)));
  const digits = Math.max(0, -Math.floor(Math.log10(each) + 1e-9));
  g.lineWidth = 1;
  g.textAlign = "right";
  g.textBaseline = "middle";
  for (let i = 0; i * each <= top * 1.0001; i++) {
    const y = Math.round(area.bottom - (i * each * area.height) / top) + 0.5;
    g.strokeStyle = colours.line;
    g.beginPath();
    g.moveTo(area.left, y);
    g.lineTo(area.right, y);
    g.stroke();
    g.fillStyle = colours.soft;
    g.fillText((i * each).toFixed(digits), area.left - 9, y);
  }
}

const place = (width, height) => {
  const area = { left: 52, right: width - 6, top: 10, bottom: height - 24 };
  area.height = area.bottom - area.top;
  area.width = area.right - area.left;
  return area;
};

let ceiling = 1; // top of the round-trip plot, which follows the data smoothly
let pointer = null;

function drawRoundTrips(now) {
  const { g, width, height } = surface($("rtt-plot"));
  const filled = samples.length > 0;
  $("rtt-plot").parentElement.classList.toggle("filled", filled);
  if (!filled || width === 0) return;
  const area = place(width, height);
  const end = session && !session.ended ? now : samples[samples.length - 1].at;
  const span = Math.min(WINDOW, Math.max(FIRST_WINDOW, end - samples[0].at));
  const x = (at) => area.right - ((end - at) * area.width) / span;

  const times = samples.filter((s) => s.rtt !== null).map((s) => s.rtt).sort((a, b) => a - b);
  // One slow round trip in fifty may leave the plot, so that the others can be told apart.
  const high = times.length ? times[Math.floor((times.length - 1) * 0.98)] : 1;
  const target = Math.max(0.5, high * 1.35);
  ceiling += (target - ceiling) * (Math.abs(target - ceiling) > target ? 1 : 0.06);
  const y = (rtt) => area.bottom - (Math.min(rtt, ceiling) * area.height) / ceiling;
  grid(g, area, ceiling);

  g.fillStyle = colours.soft;
  g.textBaseline = "alphabetic";
  g.textAlign = "right";
  g.fillText("now", area.right, height - 4);
  g.textAlign = "center";
  const each = span <= 20_000 ? 5_000 : span <= 40_000 ? 10_000 : 15_000;
  for (let ago = each; ago <= span && area.right - (ago * area.width) / span > area.left + 16; ago += each) {
    g.fillText(`${ago / 1000} s ago`, area.right - (ago * area.width) / span, height - 4);
  }

  g.save();
  g.beginPath();
  g.rect(area.left, 0, area.width + 4, area.bottom + 1);
  g.clip();
  const seen = samples.filter((s) => s.rtt !== null).sort((a, b) => a.at - b.at);
  // A gap of more than a second is a pause, not a line.
  const runs = [];
  for (const sample of seen) {
    const run = runs[runs.length - 1];
    if (run && sample.at - run[run.length - 1].at < 1_000) run.push(sample);
    else runs.push([sample]);
  }
  for (const run of runs) {
    g.beginPath();
    run.forEach((s, i) => (i ? g.lineTo(x(s.at), y(s.rtt)) : g.moveTo(x(s.at), y(s.rtt))));
    g.strokeStyle = colours.water;
    g.lineWidth = 1.75;
    g.lineJoin = "round";
    g.stroke();
    g.lineTo(x(run[run.length - 1].at), area.bottom);
    g.lineTo(x(run[0].at), area.bottom);
    g.closePath();
    g.fillStyle = colours["water-wash"];
    g.fill();
  }
  g.fillStyle = colours.bad;
  for (const s of samples) if (s.rtt === null) g.fillRect(x(s.at) - 1, area.bottom - 10, 2, 10);

  const last = seen[seen.length - 1];
  let focus = last;
  if (pointer !== null && seen.length) {
    focus = seen.reduce((a, b) => (Math.abs(x(b.at) - pointer) < Math.abs(x(a.at) - pointer) ? b : a));
  }
  if (focus) {
    const [fx, fy] = [x(focus.at), y(focus.rtt)];
    g.beginPath();
    g.arc(fx, fy, 4, 0, 7);
    g.fillStyle = colours.water;
    g.strokeStyle = colours.card;
    g.lineWidth = 2;
    g.fill();
    g.stroke();
    if (focus !== last) {
      const text = `${millis(focus.rtt)} ms`;
      const wide = g.measureText(text).width + 16;
      const left = Math.min(Math.max(fx - wide / 2, area.left), area.right - wide);
      const up = Math.max(fy - 34, 0);
      g.beginPath();
      g.roundRect(left, up, wide, 23, 7);
      g.fillStyle = colours.ink;
      g.fill();
      g.fillStyle = colours.card;
      g.textAlign = "left";
      g.textBaseline = "middle";
      g.fillText(text, left + 8, up + 12);
    }
  }
  g.restore();
}

function drawTransfer() {
  const { g, width, height } = surface($("flow-plot"));
  const points = transfer?.points ?? [];
  const filled = points.length > 2;
  $("flow-plot").parentElement.classList.toggle("filled", filled);
  if (!filled || width === 0) return;
  const area = place(width, height);
  const series = { up: [], down: [] };
  // Over three samples, since bytes come in bursts.
  for (let i = 1; i < points.length; i++) {
    const from = points[Math.max(0, i - 3)];
    for (const way of ["up", "down"]) {
      series[way].push({ at: points[i].at, rate: megabits(points[i][way] - from[way], points[i].at - from.at) });
    }
  }
  const top = Math.max(1, ...series.up.map((p) => p.rate), ...series.down.map((p) => p.rate)) * 1.12;
  const end = points[points.length - 1].at;
  grid(g, area, top);
  g.fillStyle = colours.soft;
  g.textBaseline = "alphabetic";
  g.textAlign = "left";
  g.fillText("0 s", area.left, height - 4);
  g.textAlign = "right";
  g.fillText(`${(end / 1000).toFixed(2)} s`, area.right, height - 4);
  for (const [way, colour] of [["up", colours.clay], ["down", colours.water]]) {
    g.beginPath();
    series[way].forEach((p, i) => {
      const [px, py] = [area.left + (p.at * area.width) / end, area.bottom - (p.rate * area.height) / top];
      if (i) g.lineTo(px, py);
      else g.moveTo(px, py);
    });
    g.strokeStyle = colour;
    g.lineWidth = 1.75;
    g.lineJoin = "round";
    g.stroke();
  }
}

/* ---- numbers on the page, a few times a second ------------------------ */

let written = 0;
function writeNumbers(now) {
  if (now - written < 200) return;
  written = now;
  while (samples.length && samples[0].at < now - WINDOW - LOST_AFTER && session && !session.ended) samples.shift();
  const times = samples.filter((s) => s.rtt !== null).map((s) => s.rtt);
  if (samples.length) {
    const sorted = [...times].sort((a, b) => a - b);
    const at = (part) => (sorted.length ? `${millis(sorted[Math.floor((sorted.length - 1) * part)])} ms` : "–");
    $("rtt").textContent = times.length ? millis(times[times.length - 1]) : "–";
    $("rtt-min").textContent = at(0);
    $("rtt-median").textContent = at(0.5);
    $("rtt-p95").textContent = at(0.95);
    const lost = samples.length - times.length;
    $("rtt-lost").textContent = `${((100 * lost) / samples.length).toFixed(lost ? 1 : 0)} %`;
    $("rtt-plot").setAttribute("aria-label", `Round-trip times of the last minute: median ${at(0.5)}`);
  }
  if (session) {
    for (const [way, tally] of [["sent", session.sent], ["received", session.received]]) {
      $(`datagrams-${way}`).textContent = count.format(tally.datagrams);
      $(`streams-${way}`).textContent = count.format(tally.streams);
      $(`bytes-${way}`).textContent = bytes(tally.bytes);
    }
    if (session.opened !== null && !session.ended) {
      $("age").textContent = `open for ${clock(now - session.opened)}`;
      const size = session.transport.datagrams.maxDatagramSize;
      $("max-datagram").textContent = size ? `${count.format(size)} bytes` : "–";
    } else {
      $("age").textContent = "not open";
    }
  }
  if (transfer) {
    $("up").textContent = transfer.up ? rate(megabits(transfer.up, transfer.upTime)) : "–";
    $("down").textContent = transfer.down ? rate(megabits(transfer.down, transfer.downTime)) : "–";
    $("flow-progress").value = transfer.down / transfer.total;
  }
}

function frame() {
  const now = performance.now();
  writeNumbers(now);
  drawRoundTrips(now);
  drawTransfer();
  requestAnimationFrame(frame);
}

/* ---- what the visitor does -------------------------------------------- */

function connect() {
  session?.abandon();
  session = null;
  $("notice").hidden = true;
  if (!("WebTransport" in window)) {
    setState("failed", "Not available");
    notice(
      "", "This browser cannot open a WebTransport session here",
      isSecureContext
        ? "WebTransport is in Chromium and Firefox, and in Safari from version 26.4."
        : "Browsers offer WebTransport to secure pages only: open this page as http://localhost or http://127.0.0.1, or over https.",
    );
    return;
  }
  setState("connecting", "Connecting");
  try {
    session = new Session();
  } catch (error) {
    setState("failed", "Not connected");
    notice("", "The session could not be started", "The browser refused its address or the certificate hash.", `${url} — ${message(error)}`);
    return;
  }
  session.run();
}

$("reconnect").addEventListener("click", connect);
$("disconnect").addEventListener("click", () => session?.close("closed from the page"));

$("talk").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = $("text").value || $("text").placeholder;
  if (root.dataset.state !== "connected") return;
  const carrier = new FormData(event.target).get("carrier");
  $("text").value = "";
  say("out", words, { bidi: "two-way stream", uni: "one-way stream", datagram: "datagram" }[carrier]);
  try {
    await session.talk(words, carrier);
  } catch (error) {
    say("bad", message(error), "not sent");
  }
});

$("flow-run").addEventListener("click", async () => {
  const from = session;
  $("flow-run").disabled = true;
  $("flow-note").textContent = "running";
  try {
    const run = await from.measure(Number($("flow-size").value) * 2 ** 20);
    $("flow-note").textContent = `${run.total / 2 ** 20} MiB there and back in ${(run.downTime / 1000).toFixed(2)} s, checked`;
  } catch (error) {
    $("flow-note").textContent = `stopped: ${message(error)}`;
  }
  $("flow-run").disabled = root.dataset.state !== "connected";
});

$("rtt-plot").addEventListener("pointermove", (event) => { pointer = event.offsetX; });
$("rtt-plot").addEventListener("pointerleave", () => { pointer = null; });
addEventListener("pagehide", () => session?.close("page left"));

$("url").textContent = url;
$("hash").textContent = config.hash ?? "checked by the browser";
$("version").textContent = config.version;
connect();
requestAnimationFrame(frame);
