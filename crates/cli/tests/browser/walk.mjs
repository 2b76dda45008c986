// A person with a real browser: from the link to the certificate. Prints one line for each thing that was seen; any that is not as
// it should be ends it with an error.
//
// A line that begins with `!` asks whoever started this to change something at the servers; a line on stdin says that it is done.
//
//   node walk.mjs LINK PICTURES   with FROM, TO, SILENT, USER, PASSWORD, CHROMIUM in the environment
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [link, pictures] = process.argv.slice(2);
const { FROM, TO, SILENT, USER, PASSWORD, CHROMIUM } = process.env;
const origin = new URL(link).origin;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
rmSync(pictures, { recursive: true, force: true });
mkdirSync(pictures, { recursive: true });
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const taken = [];

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1180, height: 860 } });
context.setDefaultTimeout(60_000);
const wrong = [];
context.on("request", (request) => {
  if (!request.url().startsWith(origin + "/")) wrong.push(`asked elsewhere: ${request.url()}`);
});
let page = await open();

function must(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

// Returns when it is so.
async function ask(change) {
  console.log(`!${change}`);
  if ((await answers.next()).done) throw new Error(`nobody did: ${change}`);
}

async function open() {
  const opened = await context.newPage();
  opened.on("console", (message) => {
    // A refusal or a problem is told by its status, too.
    if (message.type() === "error" && !/status of 4(03|22)/.test(message.text())) wrong.push(`console: ${message.text()}`);
  });
  opened.on("pageerror", (error) => wrong.push(`script: ${error}`));
  return opened;
}

async function fits(width) {
  const wide = await page.evaluate(() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth);
  must(wide <= 0, `${new URL(page.url()).pathname} fits into ${width} px`);
}

async function accessible(name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  for (const violation of found.violations) {
    const where = violation.nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`).join("\n    ");
    console.log(`axe: ${name}: ${violation.impact}: ${violation.id}: ${violation.help}\n    ${where}`);
  }
  const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  must(serious.length === 0, `${name}: axe finds nothing serious (${found.passes.length} rules passed)`);
}

// The page in light and dark, on a telephone, and at 200 %.
async function seen(name) {
  taken.push(`${name}-light.png`, `${name}-dark.png`, `${name}-360.png`);
  await page.screenshot({ path: `${pictures}/${name}-light.png`, fullPage: true });
  await accessible(`${name}, light`);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${pictures}/${name}-dark.png`, fullPage: true });
  await accessible(`${name}, dark`);
  await page.emulateMedia({ colorScheme: "light" });
  for (const width of [360, 590]) {
    await page.setViewportSize({ width, height: 780 });
    await fits(width);
    if (width === 360) {
      await page.screenshot({ path: `${pictures}/${name}-360.png`, fullPage: true });
      await accessible(`${name}, 360 px`);
    }
  }
  await page.setViewportSize({ width: 1180, height: 860 });
}

async function heading(text) {
  await page.getByRole("heading", { level: 1, name: text }).waitFor();
  must((await page.getByRole("heading", { level: 1 }).count()) === 1, `one heading: ${text}`);
}

const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName);

// ---- not let in, then let in

must((await page.goto(origin + "/")).status() === 403, "without the link nothing is shown");
await seen("00-refused");
// As from a mail program or a terminal in the browser: another site leads here.
await page.close();
page = await open();
await page.setContent(`<a href="${link}">Mailhaul</a>`);
await page.getByRole("link").click();
await page.waitForURL("**/requirements");
// All pages lie below a path that nobody else knows.
const home = page.url().slice(0, -"requirements".length);
must(/^\/[0-9a-f]{64}\/$/.test(new URL(home).pathname), "the path is secret");
must((await page.goto(origin + "/requirements")).status() === 403, "without it nothing is shown");
await page.goBack();
await heading("Check the requirements");

// ---- help

const helpLink = page.getByRole("link", { name: "Help (opens beside)", exact: true });
must((await helpLink.getAttribute("target")) === "_blank", "what was typed stays where it is");
await page.goto(home + (await helpLink.getAttribute("href")));
await heading("Help");
await seen("16-help");
await page.getByRole("link", { name: "Logging in", exact: true }).click();
await heading("Logging in");
await page.getByText("On this page").click();
await seen("17-help-page");
await page.getByRole("link", { name: "App passwords" }).first().click();
must(page.url().endsWith("help?page=login#app-passwords"), "a link leads to a heading");
for (const [name, title] of [["commands", "Commands"], ["troubleshooting", "Troubleshooting"], ["errors", "What servers refuse"], ["start-here", "Start here"]]) {
  await page.goto(`${home}help?page=${name}`);
  await page.getByRole("heading", { level: 1, name: title }).waitFor();
  await seen(`18-${name}`);
}
await page.getByRole("link", { name: "Back to your move" }).click();
await heading("Check the requirements");

// ---- step 1, by keyboard

await page.keyboard.press("Tab");
must((await page.evaluate(() => document.activeElement.className)) === "skip", "the first stop of Tab skips to the content");
await seen("01-requirements");
await page.getByRole("button", { name: "Find the servers" }).click();
await page.getByRole("alert").waitFor();
must((await focused()) === "problem", "the focus is on the problem");
await seen("02-problem");
await page.getByRole("alert").getByRole("link").click();
must((await focused()) === "from", "a link leads from the problem to its field");
await page.getByLabel("Address of your old mailbox").focus();
await page.keyboard.type(USER);
await page.keyboard.press("Tab");
await page.keyboard.type(USER);
await page.getByLabel("Server of your old mailbox").fill(SILENT);
await page.getByLabel("Server of your new mailbox").fill(TO);
await page.keyboard.press("Enter");

// ---- a server that does not answer: waited for, and given up

await heading("Are these your servers?");
await page.getByRole("button", { name: "Continue" }).click();
await page.getByLabel("Password").fill(PASSWORD);
await page.getByRole("button", { name: "Log in" }).click();
await heading("Logging in to your old mailbox …");
await seen("12-waiting");
await page.getByRole("button", { name: "Give up" }).click();
await heading("Connect your old mailbox");
await page.goto(`${home}requirements`);
await page.getByLabel("Server of your old mailbox").fill(FROM);
await page.getByLabel("Server of your old mailbox").press("Enter");
await heading("Are these your servers?");
await seen("03-found");
await page.getByRole("button", { name: "Continue" }).click();

// ---- steps 2 and 3

await heading("Connect your old mailbox");
must((await focused()) === "password", "the focus is on the password");
await seen("04-old");
await page.keyboard.type("not this one");
await page.keyboard.press("Enter");
await page.getByRole("alert").waitFor();
must((await focused()) === "problem", "the focus is on why the login was refused");
must((await page.getByLabel("Password").inputValue()) === "", "no password comes back");
await seen("05-refused-login");
const more = page.getByRole("link", { name: "More about this (opens beside)" });
must((await more.getAttribute("href")) === "help?page=login#a-wrong-password", "the advice leads to what stands about it");
must((await more.getAttribute("target")) === "_blank", "what was typed stays where it is");
await heading("Connect your old mailbox");
await page.getByLabel("Password").fill(PASSWORD);
await page.getByRole("button", { name: "Log in" }).click();
await heading("Connect your new mailbox");
await seen("13-new");
await ask("no room");
await page.getByLabel("Password").fill(PASSWORD);
await page.getByRole("button", { name: "Log in" }).click();

// ---- step 4: something is in the way, then mail is there already

await heading("Choose what moves");
await page.getByRole("heading", { name: "Something is in the way" }).waitFor();
await page.getByRole("group", { name: "Folders that move" }).getByLabel("INBOX.Ideen").uncheck();
await seen("14-in-the-way");
await page.getByRole("button", { name: "Look again" }).click();
await page.getByRole("heading", { name: "Something is in the way" }).waitFor();
must(!(await page.getByLabel("INBOX.Ideen").isChecked()), "what is left out where something is in the way stays left out");
await page.getByLabel("INBOX.Ideen").check();
await ask("room and mail");
await page.getByRole("button", { name: "Look again" }).click();
await page.getByRole("group", { name: "Mail that is in the new mailbox already" }).waitFor();
await seen("15-already-there");
await page.getByLabel("Recognise it").check();
const boxes = page.getByRole("group", { name: "Folders that move" }).getByRole("checkbox");
must((await boxes.count()) === 11, "eleven folders to choose from");
await page.getByLabel("INBOX.Ideen").uncheck();
await seen("06-choose");
await page.getByRole("button", { name: "Continue" }).click();
await heading("Move and verify");
await seen("07-before");

// ---- step 5: closed and opened in the middle, stopped, and gone on with

await page.getByRole("button", { name: "Begin to move" }).click();
await heading("Your mail is moving");
const percent = () => page.locator("#percent").textContent().then((text) => Number.parseInt(text, 10));
const grows = async (than) => {
  await page.waitForFunction((old) => Number.parseInt(document.querySelector("#percent").textContent, 10) > old, than);
};
await page.evaluate(() => { globalThis.wasNotLoadedAgain = true; });
await grows(7);
must(await page.evaluate(() => globalThis.wasNotLoadedAgain), "the numbers grow without a reload");
// It stays in the middle, however long it is looked at.
await ask("hold");
const before = await percent();
await seen("08-moving");
await page.close();
page = await open();
await page.goto(home);
await heading("Your mail is moving");
must((await percent()) >= before, "closed and opened, it shows where it stands");
const opened = await percent();
await ask("let go");
await grows(opened);
await ask("hold");
// ---- what changes keeps what a person does with the rest

const watched = await open();
const card = (uid, text) => `<li id="need-1-${uid}"><h3>A message in <bdi>INBOX</bdi></h3><p>${text}</p>` +
  `<details><summary>Details</summary><p class="words">UID ${uid}</p></details></li>`;
let listens = 0;
let goOn;
const isOpened = new Promise((resolve) => { goOn = resolve; });
await watched.route("**/move/events", async (route) => {
  listens += 1;
  const first = `<ul class="cards">${card(7, "As it was.")}${card(8, "Gone soon.")}</ul>`;
  const later = `<ul class="cards">${card(6, "New, before it.")}${card(7, "As it is now.")}</ul><p>And 3 more.</p>`;
  if (listens > 1) await isOpened;
  const body = `retry: 100\nevent: needs\ndata: ${listens === 1 ? first : later}\n\n`;
  await route.fulfill({ contentType: "text/event-stream", body });
});
await watched.goto(`${home}move`);
const summary = watched.locator("#need-1-7 summary");
await summary.focus();
await watched.keyboard.press("Enter");
must(await watched.locator("#need-1-7 details").evaluate((details) => details.open), "details are opened by keyboard");
goOn();
await watched.getByText("As it is now.").waitFor();
must((await watched.locator("#needs li").count()) === 2, "what is gone is gone, what is new is there");
must(await watched.locator("#need-1-7 details").evaluate((details) => details.open), "open details stay open when the list changes");
must(await summary.evaluate((element) => element === document.activeElement), "the focus stays when the list changes");
await watched.close();

const bar = page.getByRole("progressbar", { name: "All folders" });
must(/^[0-9]+ percent: /.test(await bar.getAttribute("aria-valuetext")), "the bar has a name, and says its value");
await page.getByRole("button", { name: "Pause" }).click();
await ask("let go");
await heading("Paused");
await seen("09-paused");
await ask("quick");
await page.getByRole("button", { name: "Go on" }).click();
await heading("154 of 155 messages are on the new server. 1 needs you.");
must(await page.getByRole("heading", { name: "A message in INBOX.Kunden" }).isVisible(), "what needs a person is named at the end");
await seen("10-done");

// ---- what is kept

await page.getByRole("link", { name: "Open the report" }).click();
await heading("154 of 155 messages are on the new server. 1 needs you.");
await seen("11-report");
const original = page.getByRole("link", { name: "Open the saved original" });
const [download] = await Promise.all([page.waitForEvent("download"), original.first().click()]);
must(/\.eml$/.test(download.suggestedFilename()), "the original of what was refused can be had");
await page.goto(home + "move");
const certificate = await page.evaluate(async () => (await fetch("report/certificate.json")).json());
must(certificate.verdict === "complete-with-exceptions", `the certificate says ${certificate.verdict}`);

must(wrong.length === 0, `nothing was asked for elsewhere, no script failed, no policy was broken ${wrong.join("; ")}`);
await browser.close();
const there = readdirSync(pictures).filter((file) => statSync(`${pictures}/${file}`).size > 1000);
must(taken.length >= 3 * 22 && taken.every((file) => there.includes(file)), `${taken.length} pictures are there`);
console.log("done");
// Whoever started this could still answer.
process.stdin.destroy();
