// Drives the forge's page with a real Chromium, with and without JavaScript; each page by axe-core
// at two widths and in both colour schemes.
//
// node browser.mjs TOOLS URL FOLDER WORDING: TOOLS holds node_modules with playwright-core and
// axe-core, FOLDER gets the screenshots. The account is demo, its password demo.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import assert from "node:assert/strict";

const [tools, url, folder, wording] = process.argv.slice(2);
const require = createRequire(`${tools}/node_modules/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update"],
});

let looked = 0;
async function look(page, name) {
  for (const [width, height] of [[400, 800], [1280, 900]]) {
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
      const wide = await page.evaluate(() =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name} at ${width} px is ${wide} px too wide`);
      await page.screenshot({ path: `${folder}/${wording}-${name}-${width}-${colorScheme}.png`,
        fullPage: true });
      looked += 1;
    }
  }
}

async function user(token) {
  const answer = await fetch(`${url}/api/v1/user`, { headers: { authorization: `token ${token}` } });
  return answer.status;
}

for (const javaScriptEnabled of [true, false]) {
  const context = await browser.newContext({ javaScriptEnabled });
  const page = await context.newPage();
  page.on("console", (line) => {
    if (line.text().includes("Content Security Policy")) { throw new Error(line.text()); }
  });
  await page.goto(url);
  await page.fill("#name", "demo");
  await page.fill("#password", "demo");
  await page.click("button.primary");
  const label = `tea ${javaScriptEnabled ? "with" : "without"} JavaScript`;

  if (wording === "forge") {
    // Nothing is chosen: each question is asked again, and the name stays.
    await page.fill("#label", label);
    await page.click("text=Generate token");
    assert.match(await page.title(), /^Error: /);
    assert.equal(await page.inputValue("#label"), label);
    if (javaScriptEnabled) { await look(page, "errors"); }
    await page.check("input[name=resources][value=all]");
    await page.selectOption("#p-user", "read:user");
    await page.selectOption("#p-repository", "write:repository");
    await page.click("text=Generate token");
  } else {
    await page.fill("#label", label);
    await page.click("text=Create token");
  }
  const token = await page.inputValue("#secret");
  assert.match(token, /^forge_[0-9a-z]{45}$/);
  if (javaScriptEnabled) { await look(page, "shown"); }
  assert.equal(await user(token), 200);
  await page.goto(url);
  const row = page.locator("tr", { hasText: label }).first();
  assert.match(await row.textContent(), /just now/);
  if (javaScriptEnabled) { await look(page, "list"); }
  await row.getByText("Regenerate").click();
  await page.check("input[name=overlap][value='0']");
  await page.click("form.card button.primary");
  const next = await page.inputValue("#secret");
  assert.deepEqual([await user(token), await user(next)], [401, 200]);
  await page.goto(url);
  if (wording === "forge") {
    // A popup asks, also without JavaScript. Enter alone says no.
    const popup = page.getByRole("dialog", { name: `Delete “${label}”?` });
    await row.getByRole("button", { name: "Delete" }).click();
    await popup.waitFor();
    assert.match(await page.locator(":focus").textContent(), /^No/);
    if (javaScriptEnabled) { await look(page, "popup"); }
    await page.keyboard.press("Enter");
    await popup.waitFor({ state: "hidden" });
    assert.equal(await user(next), 200, "asking deletes nothing");
    await row.getByRole("button", { name: "Delete" }).click();
    await popup.getByRole("button", { name: "Yes" }).click();
    assert.match(await page.textContent("[role=status]"), /was deleted/);
  } else {
    await row.locator("a.danger").click();
    await page.click("button.primary.danger");
  }
  assert.equal(await user(next), 401);
  await context.close();
}
console.log(`looked at ${looked} pages: each at two widths and in two colour schemes`);
await browser.close();
