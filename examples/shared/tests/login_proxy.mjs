// The way through a login proxy in a real Chromium. Its login page is another site, and from there
// no cookie comes back that is SameSite=Strict.
//
// node login_proxy.mjs TOOLS URL: URL is a host with `--sso-header Remote-User --sso-from
// 127.0.0.1` and the account demo. The proxy and the login page are made here.
import { createRequire } from "node:module";
import { createServer, request as ask } from "node:http";
import assert from "node:assert/strict";

const [tools, url] = process.argv.slice(2);
const require = createRequire(`${tools}/node_modules/`);
const { chromium } = require("playwright-core");

const listen = (server) => new Promise((done) => {
  server.listen(0, "127.0.0.1", () => done(server.address().port));
});

// As oauth2-proxy with an instance of its own for /again: it sends the browser to the login page,
// takes it back at /callback, and remembers that by a cookie for a minute.
const proxy = createServer((request, response) => {
  const path = new URL(request.url, front);
  if (path.pathname === "/callback") {
    const cookie = "fresh=yes; Path=/again; Max-Age=60; HttpOnly; SameSite=Lax";
    response.writeHead(302, { location: path.searchParams.get("back"), "set-cookie": cookie });
    return response.end();
  }
  if (path.pathname === "/again" && !/\bfresh=yes\b/.test(request.headers.cookie ?? "")) {
    response.writeHead(302, { location: `${login}/?back=${encodeURIComponent(request.url)}` });
    return response.end();
  }
  const headers = { ...request.headers, "remote-user": "demo" };
  const passed = ask(`${url}${request.url}`, { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
  });
  request.pipe(passed);
});

const idp = createServer((request, response) => {
  const back = new URL(request.url, login).searchParams.get("back") ?? "";
  if (request.method === "POST") {
    response.writeHead(303, { location: `${front}/callback?back=${encodeURIComponent(back)}` });
    return response.end();
  }
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.end(`<h1>Login page</h1><form method="post"><button>I am demo</button></form>
    <a href="${front}/again?to=/new">A page of your choice</a>`);
});

const front = `http://127.0.0.1:${await listen(proxy)}`;
const login = `http://localhost:${await listen(idp)}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP localhost 127.0.0.1"],
});

for (const javaScriptEnabled of [true, false]) {
  const context = await browser.newContext({ javaScriptEnabled });
  const page = await context.newPage();
  const asksAgain = () => page.locator("text=Sign in again").count();
  await page.goto(`${front}/`);
  await page.goto(`${front}/new`);
  assert.equal(await asksAgain(), 1, "the header alone is no fresh sign-in");
  await page.click("text=Sign in again");
  assert.match(page.url(), /^http:\/\/localhost:/);
  await page.click("text=I am demo");
  await page.waitForURL(`${front}/new`);
  const label = `made ${javaScriptEnabled ? "with" : "without"} JavaScript`;
  await page.fill("#label", label);
  await page.click("form.card button.primary");
  assert.match(await page.inputValue("#secret"), /^cloud_/);
  if (javaScriptEnabled) {
    await page.goto(`${front}/`);
    const sessions = await page.textContent("h2:has-text('Browser sessions')");
    assert.match(sessions, /\(1\)/, "the ones before the fresh sign-in have ended");
  }

  // Another site's link finds the proxy's cookie, but has no one-use text.
  await context.clearCookies({ name: /^cloud-/ });
  await page.goto(`${login}/`);
  await page.click("text=A page of your choice");
  assert.equal(await asksAgain(), 1);
  await page.goto(`${front}/new`);
  assert.equal(await asksAgain(), 1, "nothing became fresh");
  await context.close();
}
await browser.close();
console.log("the way through the login proxy is whole");
process.exit();
