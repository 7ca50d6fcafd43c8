// What the Chromium scripts share: cases with deadlines, `aqueduct serve`, a browser, a blank page.

import { spawn, spawnSync } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const WORK = process.env.INTEROP_WORK ?? join(ROOT, "target/interop");

// playwright-core lives in the work folder, so the repository holds no node_modules.
const require = createRequire(join(WORK, "node/package.json"));

const SCRIPT_DEADLINE = 240_000;

/** Throws `why` unless `condition` holds. */
export function check(condition, why) {
  if (!condition) throw new Error(why);
}

/** Throws unless `seen` and `wanted` are the same JSON. */
export function same(seen, wanted, what) {
  const [a, b] = [JSON.stringify(seen), JSON.stringify(wanted)];
  check(a === b, `${what}: wanted ${b}, saw ${a}`);
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Settles as `promise` does, or fails after `ms`. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what}: not done after ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Cases in order of declaration; ends the process with the verdict. */
export class Suite {
  #cases = [];

  constructor(name) {
    this.name = name;
  }

  case(name, body, seconds = 30) {
    this.#cases.push({ name, body, seconds });
  }

  /** Runs `setUp(undo)`, the cases with its value, then what was pushed to `undo`, last first. */
  async main(setUp) {
    const undo = [];
    const tidy = async () => {
      for (const step of undo.splice(0).reverse()) await within(10_000, "tidy", step()).catch(() => {});
    };
    let [passed, failed] = [0, 0];
    const giveUp = async () => {
      console.log(`FAIL ${this.name}: stopped before its end`);
      await tidy();
      console.log(`${passed} passed, ${failed + 1} failed`);
      process.exit(1);
    };
    const alarm = setTimeout(giveUp, SCRIPT_DEADLINE);
    process.once("SIGTERM", giveUp);
    const only = process.argv.slice(2);
    try {
      const world = await within(60_000, "set-up", setUp(undo));
      for (const { name, body, seconds } of this.#cases) {
        if (only.length && !only.some((part) => name.includes(part))) continue;
        try {
          await within(seconds * 1000, name, Promise.resolve(body(world)));
          passed += 1;
          console.log(`ok ${name}`);
        } catch (error) {
          failed += 1;
          console.log(`FAIL ${name}: ${String(error.message ?? error).split("\n")[0]}`);
        }
      }
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${this.name}: ${error.message}`);
    }
    await tidy();
    if (recordings.length) {
      const why = replay();
      if (why) failed += 1;
      else passed += 1;
      const name = "what was recorded replays the same";
      console.log(why ? `FAIL ${name}: ${why}` : `ok ${name}`);
    }
    clearTimeout(alarm);
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed === 0 && passed > 0 ? 0 : 1);
  }
}

function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const chosen = process.env.AQUEDUCT_BIN;
  const found = (chosen ? [chosen] : ["release", "debug"].map((p) => join(target, p, "aqueduct"))).find(
    existsSync,
  );
  check(found, "no aqueduct program: set AQUEDUCT_BIN or run `cargo build --release -p aqueduct-cli`");
  return found;
}

/** The adapter that AQUEDUCT_RUNTIME asks for: the same cases on another. */
const runtime = () => {
  const name = process.env.AQUEDUCT_RUNTIME;
  return name ? ["--runtime", name] : [];
};

/** Files of `--record`, one of each server. */
const recordings = [];

/**
 * Replays what was recorded when all has ended. What replays is removed, the rest stays for
 * `aqueduct replay FILE` and a closer look, and the first such is told.
 */
function replay() {
  let why = null;
  let [inputs, connections] = [0, 0];
  for (const file of recordings) {
    const { status, stdout, stderr } = spawnSync(binary(), ["replay", file, "--json"], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
      timeout: 60_000,
    });
    const lines = (stdout ?? "").split("\n").filter(Boolean);
    for (const line of lines) inputs += JSON.parse(line).inputs;
    connections += lines.length;
    if (status === 0) rmSync(file);
    else why ??= `${file}: ${stderr?.trim().replace(/\s+/g, " ") || `exit status ${status}`}`;
  }
  console.log(`# replayed ${connections} connections, ${inputs} inputs`);
  return why ?? (inputs > 0 ? null : "nothing was recorded");
}

/** `aqueduct serve` on an ephemeral port: its ready line, and the JSON lines after it. */
export class Aqueduct {
  lines = [];
  #waiting = new Set();

  static async start(undo, extra, log) {
    mkdirSync(join(WORK, "logs"), { recursive: true });
    const server = new Aqueduct();
    const cert = join(WORK, `cert-${process.pid}.pem`);
    const file = `${basename(log, ".log")}-${process.pid}-${recordings.length}.rec`;
    const recording = join(WORK, "recordings", file);
    mkdirSync(dirname(recording), { recursive: true });
    recordings.push(recording);
    const where = ["--listen", "127.0.0.1:0", "--cert-out", cert, "--record", recording];
    const child = spawn(binary(), ["serve", ...where, ...runtime(), ...extra, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise((done) => child.on("exit", done));
    undo.push(async () => {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 6000);
      await ended;
      clearTimeout(timer);
      rmSync(cert, { force: true });
    });
    child.stderr.pipe(createWriteStream(join(WORK, "logs", log)));
    createInterface({ input: child.stdout }).on("line", (text) => {
      if (!text.startsWith("{")) return;
      server.lines.push(JSON.parse(text));
      for (const look of server.#waiting) look();
    });
    server.ready = await server.line((line) => line.ready, 20_000, 0, "no ready line");
    return server;
  }

  /** The first JSON line from index `since` on that `wanted` accepts. */
  line(wanted, ms, since, what) {
    let look;
    const found = new Promise((done) => {
      look = () => {
        const line = this.lines.slice(since).find(wanted);
        if (line) done(line);
      };
      this.#waiting.add(look);
      look();
    });
    return within(ms, what, found).finally(() => this.#waiting.delete(look));
  }

  /** The first `event` line from index `since` on with all of `fields`. */
  event(name, fields, since) {
    const fits = (line) =>
      line.event === name && Object.entries(fields).every(([key, value]) => line[key] === value);
    const what = `the server's ${name} event with ${JSON.stringify(fields)}`;
    return this.line(fits, 10_000, since, what);
  }

  get host() {
    return this.ready.address;
  }
}

/** Debian's Chromium, headless, with a new profile that is deleted afterwards. */
export async function browser(undo, extra = []) {
  const { chromium } = require("playwright-core");
  const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
  check(existsSync(path), `${path} is missing: tests/interop/run installs it`);
  const profile = mkdtempSync(join(tmpdir(), "aqueduct-chromium-"));
  undo.push(async () => rmSync(profile, { recursive: true, force: true }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: path,
    headless: true,
    viewport: { width: 1280, height: 900 },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...extra,
    ],
  });
  undo.push(() => context.close());
  return context;
}

export function chromiumVersion() {
  const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return spawnSync(path, ["--version"], { encoding: "utf8" }).stdout?.trim() ?? "";
}

/** A blank page on http://localhost, which browsers treat as a secure context. */
export async function blankPage(undo) {
  const http = createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end("<!doctype html><title>interop</title>");
  });
  await new Promise((done) => http.listen(0, "localhost", done));
  undo.push(async () => {
    http.closeAllConnections();
    http.close();
  });
  return `http://localhost:${http.address().port}/`;
}
