// The page of `aqueduct serve --page` in headless Chromium: connects, plots, echoes; screenshot.

import { join } from "node:path";

import { Aqueduct, Suite, WORK, browser, check, same } from "./harness.mjs";

const suite = new Suite("page");
const SCREENSHOT = join(WORK, "page.png");

suite.case("the page opens its session", async ({ page }) => {
  const connected = () => document.documentElement.dataset.state === "connected";
  await page.waitForFunction(connected, null, { timeout: 15_000 });
});

suite.case("five datagrams make the round trip", async ({ page }) => {
  const enough = () => Number(document.documentElement.dataset.pongs) >= 5;
  await page.waitForFunction(enough, null, { timeout: 15_000 });
});

/** Sends `text` by the box and waits until the echo, not only what was sent, is in the log. */
async function echoes(page, text) {
  await page.fill("#text", text);
  await page.click("#send");
  const echoed = (wanted) =>
    [...document.querySelectorAll("#log .in .words")].some((words) => words.textContent === wanted);
  await page.waitForFunction(echoed, text, { timeout: 10_000 });
}

suite.case("text sent from the box is echoed, by all three carriers", async ({ page }) => {
  for (const carrier of ["bidi", "uni", "datagram"]) {
    await page.locator(`label:has(input[value=${carrier}])`).click();
    await echoes(page, `water flows downhill by ${carrier}`);
  }
});

suite.case("text with markup stays text", async ({ page }) => {
  await echoes(page, "<b id=injected>grüße & 水</b>");
  same(await page.locator("#injected").count(), 0, "elements made of the text");
});

suite.case(
  "a throughput run ends with rates",
  async ({ page }) => {
    await page.click("#flow-run");
    const measured = () =>
      ["#up", "#down"].every((id) => parseFloat(document.querySelector(id).textContent) > 0) &&
      !document.querySelector("#flow-run").disabled;
    await page.waitForFunction(measured, null, { timeout: 50_000 });
    const rates = await page.locator("#up, #down").allTextContents();
    console.log(`# Mbit/s up and down: ${rates.join(", ")}`);
  },
  60,
);

suite.case("it fits wide and narrow windows without sideways scrolling", async ({ page }) => {
  for (const [width, height] of [
    [1280, 900],
    [390, 844],
    [360, 640],
  ]) {
    await page.setViewportSize({ width, height });
    const over = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
    check((await page.evaluate(over)) <= 0, `at ${width} pixels the page is wider than its window`);
    const file = width > 1000 ? SCREENSHOT : join(WORK, "page-narrow.png");
    // Long enough for the plot to have drawn at this size.
    await page.waitForTimeout(1500);
    await page.screenshot({ path: file });
    console.log(`# screenshot: ${file}`);
  }
});

suite.case("the console holds no error", async ({ errors }) => same(errors, [], "errors"));

suite.main(async (undo) => {
  const arguments_ = ["--demo", "--page", "127.0.0.1:0"];
  const server = await Aqueduct.start(undo, arguments_, "aqueduct-page.log");
  check(server.ready.page, "the ready line names no page");
  const context = await browser(undo);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    // Browsers ask for an icon on their own; a page needs none.
    if (message.type() === "error" && !message.location().url.endsWith("/favicon.ico"))
      errors.push(message.text());
  });
  await page.goto(server.ready.page, { timeout: 15_000 });
  return { server, page, errors };
});
