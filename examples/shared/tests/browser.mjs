// Drives the settings page with a real Chromium: each flow with and without JavaScript, each page
// by axe-core at two widths and in both colour schemes.
//
// node browser.mjs TOOLS URL FOLDER: TOOLS holds node_modules with playwright-core and axe-core,
// FOLDER gets the screenshots. The account is demo, its password demo.
//
// node browser.mjs TOOLS URL FOLDER NAME PATH...: only looks at these pages.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import assert from "node:assert/strict";

const [tools, url, folder, only, ...paths] = process.argv.slice(2);
const require = createRequire(`${tools}/node_modules/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const SIZES = [[400, 800], [1280, 900]];
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update"],
});

async function context(options = {}) {
  const made = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await made.newPage();
  page.on("pageerror", (error) => { throw error; });
  page.on("console", (line) => {
    if (line.text().includes("Content Security Policy")) { throw new Error(line.text()); }
  });
  return page;
}

async function signIn(page) {
  await page.goto(url);
  await page.fill("#name", "demo");
  await page.fill("#password", "demo");
  await page.click("button.primary");
  await page.waitForSelector(".quiet");
}

async function create(page, label, access = "files:read", end = "90") {
  await page.goto(`${url}/new`);
  await page.fill("#label", label);
  await page.check(`input[name=access][value="${access}"]`);
  await page.check(`input[name=end][value="${end}"]`);
  await page.click("form.card button.primary");
  return page.inputValue("#secret");
}

async function use(token, agent = "rclone/v1.71.2") {
  const answer = await fetch(`${url}/dav/`, {
    method: "PROPFIND",
    headers: { authorization: `Bearer ${token}`, depth: "0", "user-agent": agent },
  });
  return answer.status;
}

// axe-core is evaluated by the debugger, so the page's own policy stays as it is.
const seen = new Map();
async function look(page, name) {
  for (const [width, height] of SIZES) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const client = await page.context().newCDPSession(page);
      const run = `${axe};axe.run({ runOnly: ${JSON.stringify(RULES)},
        rules: { "target-size": { enabled: true } } })
        .then(({ violations }) => JSON.stringify(violations))`;
      const answer = await client.send("Runtime.evaluate",
        { expression: run, awaitPromise: true, returnByValue: true });
      assert.ok(answer.result.value, JSON.stringify(answer));
      const found = JSON.parse(answer.result.value).map((violation) =>
        `${violation.id}: ${violation.nodes.map((node) => node.html).join("\n  ")}`);
      assert.deepEqual(found, [], `${name} at ${width} px, ${colorScheme}`);
      const overflow = await page.evaluate(() =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(overflow <= 0, `${name} at ${width} px is ${overflow} px too wide`);
      await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png`,
        fullPage: true });
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}

if (only) {
  const page = await context();
  await signIn(page);
  for (const [number, path] of paths.entries()) {
    await page.goto(`${url}${path}`);
    await look(page, `${only}-${number}`);
  }
  await browser.close();
  process.exit();
}

// -- with and without JavaScript: create, copy, use, see the last use, replace, revoke, denied
for (const javaScriptEnabled of [true, false]) {
  const page = await context({ javaScriptEnabled });
  const scripted = javaScriptEnabled ? "with" : "without";
  await signIn(page);
  const label = `Phone ${scripted} JavaScript`;
  const token = await create(page, label, "files:write");
  assert.match(token, /^cloud_[0-9a-z]{45}$/);
  const copy = page.locator("button[data-copy=secret]");
  assert.equal(await copy.isVisible(), javaScriptEnabled, "the copy button needs a script");
  if (javaScriptEnabled) {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await copy.click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);
    assert.equal(await page.textContent("#said"), "App password copied");
  }
  const groups = await page.textContent(".groups");
  assert.equal(groups, token, "a copy of the groups has no gaps");
  await page.click("text=I've saved it");
  const row = page.locator("tr", { hasText: label }).first();
  assert.match(await row.textContent(), /Never used/);
  assert.equal(await use(token), 207);
  await page.reload();
  assert.match(await row.textContent(), /just now/);

  // F5 and the back button after the page that shows it.
  const second = `Tablet ${scripted} JavaScript`;
  await create(page, second);
  await page.reload();
  assert.match(await page.textContent("[role=status]"), /sent before, so nothing was made/);
  assert.equal(await page.locator("tr", { hasText: second }).count(), 1);
  await page.goBack();
  assert.equal(await page.locator("#secret").count(), 0, "the back button shows no token");
  await page.goto(url);

  await row.locator("a", { hasText: "Change" }).click();
  await page.click("a:has-text('Replace')");
  await page.check("input[name=overlap][value='3600']");
  await page.click("form.card button.primary");
  const next = await page.inputValue("#secret");
  assert.deepEqual([await use(token), await use(next)], [207, 207], "both for an hour");
  await page.goto(url);
  assert.match(await row.textContent(), /Being replaced/);
  await row.getByText("Revoke").click();
  assert.equal(await use(next), 207, "asking revokes nothing");
  await page.check("input[value='lost or stolen']");
  await page.click("button.primary.danger");
  assert.match(await page.textContent("[role=status]"), /was revoked/);
  assert.deepEqual([await use(token), await use(next)], [401, 401]);

  // Errors keep the form, and the first link leads to the field.
  await page.goto(`${url}/new`);
  await page.check("input[name=access][value=everything]");
  await page.click("form.card button.primary");
  assert.match(await page.title(), /^Error: /);
  assert.ok(await page.isChecked("input[name=access][value=everything]"));
  await page.click("[role=alert] a");
  assert.equal(await page.evaluate(() => location.hash), "#label");
  await page.click("text=Sign out >> nth=0");
  assert.equal(await page.locator("#password").count(), 1);
  await page.context().close();
}

// -- the password asked again, at a host that always does
if (process.env.STRICT) {
  const strict = process.env.STRICT, page = await context();
  await page.goto(`${strict}/new`);
  await page.fill("#name", "demo");
  await page.fill("#password", "demo");
  await page.click("button.primary");
  await page.fill("#label", "Kitchen tablet");
  await page.click("form.card button.primary");
  await look(page, "step-up");
  await page.fill("#password", "wrong");
  await page.click("button.primary");
  await look(page, "step-up-refused");
  await page.fill("#password", "demo");
  await page.click("button.primary");
  assert.match(await page.inputValue("#secret"), /^cloud_/);
  await page.context().close();
}

// -- a device that asks by the login flow
for (const [at, asksAgain] of [[url, false], [process.env.STRICT, true]]) {
  if (!at) { continue; }
  const page = await context();
  const ask = async () => {
    const begun = await fetch(`${at}/index.php/login/v2`, {
      method: "POST", headers: { "user-agent": "Mozilla/5.0 (Android) Nextcloud-android/3.33.0" },
    });
    return begun.json();
  };
  const fetched = ({ poll }) => fetch(poll.endpoint, { method: "POST",
    body: new URLSearchParams({ token: poll.token }) });
  const device = await ask();
  await page.goto(device.login);
  await page.fill("#name", "demo");
  await page.fill("#password", "demo");
  await page.click("button.primary");
  const name = asksAgain ? "connect-again" : "connect";
  await look(page, name);
  assert.equal((await fetched(device)).status, 404, "nobody has granted it");
  if (asksAgain) {
    await page.fill("#password", "wrong");
    await page.click("text=Grant access");
    await look(page, "connect-refused");
    await page.fill("#password", "demo");
  }
  await page.check("input[name=access][value='files:read']");
  await page.click("text=Grant access");
  await look(page, `${name}-done`);
  const { appPassword } = await (await fetched(device)).json();
  const answer = await fetch(`${at}/dav/`, { method: "PROPFIND",
    headers: { authorization: `Bearer ${appPassword}`, depth: "0" } });
  assert.equal(answer.status, 207);
  await page.goto(device.login);
  await look(page, `${name}-gone`);
  const stranger = await ask();
  await page.goto(stranger.login);
  await page.click("text=Deny");
  await look(page, `${name}-denied`);
  assert.equal((await fetched(stranger)).status, 404);
  await page.context().close();
}

// -- every page as it looks
const page = await context();
await page.goto(url);
await look(page, "sign-in");
await page.fill("#name", "demo");
await page.fill("#password", "wrong");
await page.click("button.primary");
await look(page, "sign-in-refused");
await signIn(page);
await look(page, "list-after-use");
for (const box of await page.locator("input[name=id]").all()) { await box.check(); }
await page.click("text=Revoke selected");
await page.click("button.primary.danger");
await page.goto(`${url}/tokens/erase`);
await look(page, "confirm-erase");
await page.click("button.primary.danger");
await page.goto(url);
await look(page, "empty");
const phone = await create(page, "Phone – DAVx⁵", "everything", "365");
await use(phone, "DAVx5/4.5.1 (Android 16)");
const backup = await create(page, "Laptop backup", "files:write");
await use(backup, "restic/0.18.0");
await create(page, "Living-room TV", "files:read", "365");
const ci = await create(page, "CI pipeline", "files:read");
await page.goto(`${url}/tokens/${ci.slice(6, 16)}/replace`);
await look(page, "replace");
await page.check("input[name=overlap][value='86400']");
await page.click("form.card button.primary");
await use(ci, "curl/8.16.0");
const long = "nightly-backup_of_workstation-with-a-label-that-has-no-space-anywhere_0042_rack-3";
await create(page, long, "files:write");
const soon = await page.evaluate(() =>
  new Date(Date.now() + 5 * 86400000).toISOString().slice(0, 10));
await page.goto(`${url}/new`);
await look(page, "create");
await page.click("form.card button.primary");
await look(page, "create-errors");
await page.fill("#label", "Camera upload");
await page.check("input[name=access][value='files:write']");
await page.check("input[name=end][value=date]");
await page.fill("#date", soon);
await page.click("form.card button.primary");
const camera = await page.inputValue("#secret");
await use(camera, "PhotoSync/12.1 (iPhone)");
await create(page, "Kitchen tablet", "files:write");
await look(page, "shown-once");
const old = await create(page, "هاتف العمل القديم");
await page.goto(`${url}/tokens/${old.slice(6, 16)}/revoke`);
await look(page, "confirm-revoke");
await page.check("input[value='lost or stolen']");
await page.click("button.primary.danger");
await look(page, "notice");
const other = await context({ userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) " +
  "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1" });
await signIn(other);
await page.goto(url);
await look(page, "list");
await page.goto(`${url}/tokens/${backup.slice(6, 16)}`);
await look(page, "change");
await page.goto(url);
await page.check("input[name=id] >> nth=0");
await page.check("input[name=id] >> nth=1");
await page.click("text=Revoke selected");
await look(page, "confirm-selection");
await page.goto(`${url}/sessions/others`);
await look(page, "confirm-sessions");
await page.goto(`${url}/tokens/zzzzzzzzzz`);
await look(page, "no-such-token");
await browser.close();
for (const [name, count] of seen) { assert.equal(count, 4, name); }
console.log(`${seen.size} pages, each at two widths and in two colour schemes`);
