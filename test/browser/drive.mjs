// Drives the dashboard in a headless Chromium, as people do. It is told by the
// environment where the dashboard is, and by its first argument what to do; it
// writes pictures into ARTEFACTS, and fails with a message.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { launch, require } from "./launch.mjs";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { URL: base, ARTEFACTS: artefacts, OPERATOR, VIEWER, NOBODY } = process.env;
mkdirSync(artefacts, { recursive: true });

const widths = [320, 768, 1440];
const browser = await launch();
const failures = [];

async function person(token, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (m) => m.type() === "error" && !/status of 4\d\d/.test(m.text()) && failures.push(`${page.url()}: ${m.text()}`));
  page.on("pageerror", (e) => failures.push(`${page.url()}: ${e}`));
  page.on("request", (r) => r.url().startsWith(base) || r.url().startsWith("data:") || failures.push(`a request to ${r.url()}`));
  const fleet = page.getByRole("heading", { level: 1, name: "Fleet" }), slow = page.getByText("too many attempts");
  await page.goto(base + "/");
  do {
    // All people here have one address, whose logins are slowed down.
    if (await slow.count()) await page.waitForTimeout(6500);
    await page.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    await fleet.or(slow).waitFor();
  } while (await slow.count());
  return page;
}

// What axe-core calls serious or critical, at each width and in both themes.
async function check(page, name) {
  for (const width of widths) {
    await page.setViewportSize({ width, height: 900 });
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      if (width === 1440 || scheme === "light") await page.screenshot({ path: join(artefacts, `${name}-${width}-${scheme}.png`) });
      await page.evaluate(axe);
      const found = await page.evaluate(async () => (await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })).violations);
      for (const v of found.filter((v) => ["serious", "critical"].includes(v.impact))) {
        failures.push(`${name} at ${width}, ${scheme}: ${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")).slice(0, 3).join(" | ")}`);
      }
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (overflow > 0) failures.push(`${name} at ${width} is ${overflow} pixels too wide`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
}

const instance = "/instances/kro.run/v1alpha1/WebApp/shop/shop";
const views = {
  fleet: "/", cluster: "/clusters/us-east", instances: "/instances", instance, "instance-cluster": instance + "?cluster=us-east&against=eu-west",
  node: instance + "?node=deployment", definitions: "/definitions", definition: "/definitions/webapp", drift: "/drift", placements: "/placements",
  placement: process.env.PLACEMENT, approvals: "/approvals", rollouts: "/rollouts", rollout: "/rollouts/shop/shop",
};

const steps = {
  // Every view, and nothing serious in any of them.
  async views() {
    const login = await browser.newPage();
    await login.goto(base + "/login");
    await check(login, "login");
    const page = await person(OPERATOR);
    for (const [name, path] of Object.entries(views)) {
      const answer = await page.goto(base + path);
      assert.equal(answer.status(), 200, `${path} gives ${answer.status()}`);
      await page.locator("#link", { hasText: "Live" }).waitFor();
      await check(page, name);
    }
  },

  // Without a mouse: skip link, navigation, a tile, and a node of the graph.
  async keyboard() {
    const page = await person(OPERATOR);
    await page.goto(base + "/");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    await page.locator("#c-us-east a").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "us-east" }).waitFor();
    await page.goto(base + instance);
    await page.locator("svg a").first().focus();
    await page.keyboard.press("Enter");
    await page.locator("#node table").waitFor();
    await page.goto(base + "/?text=eu");
    assert.equal(await page.locator(".tile").count(), 1);
    await page.getByRole("button", { name: "Light or dark" }).click();
    const theme = await page.evaluate(() => document.documentElement.dataset.theme);
    await page.reload();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme);
  },

  // The tile follows what happens on the cluster, by itself. EXPECT is its class.
  async watch() {
    const page = await person(VIEWER);
    console.log("watching");
    await page.locator(`#c-us-east.${process.env.EXPECT}`).waitFor({ timeout: 60000 });
  },

  // A finding is put right by whoever may.
  async correct() {
    const page = await person(OPERATOR);
    await page.goto(base + "/drift");
    const finding = page.locator("article", { hasText: "us-east" }).filter({ hasText: "spec.replicas" });
    await page.screenshot({ path: join(artefacts, "drift-open.png") });
    await finding.getByLabel("Reason").fill("a test");
    await finding.getByRole("button", { name: "Correct" }).click();
    await page.getByText("0 findings wait").waitFor({ timeout: 60000 });
  },

  // A question is answered by whoever may.
  async approve() {
    const page = await person(OPERATOR);
    await page.goto(base + "/approvals");
    await page.screenshot({ path: join(artefacts, "approvals-open.png") });
    const question = page.locator(`#a-${process.env.APPROVAL_UID}`);
    await question.getByRole("button", { name: "Approve" }).click();
    await question.getByText("system:serviceaccount:default:operator").waitFor();
    assert.equal(await question.getByRole("button", { name: "Approve" }).count(), 0);
  },

  // What a cluster has is compared with what another revision would bring.
  async compare() {
    const page = await person(OPERATOR);
    await page.goto(base + instance + "?cluster=eu-west");
    const others = page.locator("optgroup[label=Revisions] option");
    assert.equal(await others.count(), 2);
    await page.getByLabel("Compare with").selectOption(await others.last().getAttribute("value"));
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByText("would be there with revision").waitFor();
    assert.match(await page.locator("pre.diff del", { hasText: "pause:3.11" }).innerText(), /image: /);
    assert.match(await page.locator("pre.diff ins", { hasText: "pause:3.10" }).innerText(), /image: /);
    await check(page, "instance-revision");
  },

  // A rollout waits for somebody, goes on with the approval, stops, goes on, and
  // goes back: all on its page.
  async rollout() {
    const page = await person(OPERATOR);
    await page.goto(base + views.rollout);
    const step = (name) => page.locator(".timeline li", { hasText: name });
    await step("eu-west").locator("h3 .state", { hasText: "passed" }).waitFor();
    await step("us-east").getByText("needs approval").waitFor();
    const change = page.locator("#changes tr", { hasText: "spec.image" });
    assert.match(await change.innerText(), /pause:3\.10\s+.*pause:3\.11/);
    await page.getByLabel("Reason").first().fill("a test");
    await page.getByRole("button", { name: "Approve" }).click();
    // It soaks, and the clock goes backwards without anybody loading anything.
    const clock = page.locator(".timeline [data-until]").first();
    await clock.waitFor({ timeout: 60000 });
    await page.screenshot({ path: join(artefacts, "rollout-soaking.png") });
    const before = await clock.innerText();
    await page.waitForFunction((was) => document.querySelector(".timeline [data-until]")?.textContent !== was, before);
    await page.locator("#steer").getByLabel("Reason").first().fill("incident 4711");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("#summary p", { hasText: /^Paused by system:serviceaccount:default:operator, .*: incident 4711$/ }).waitFor();
    await check(page, "rollout-paused");
    await page.getByRole("button", { name: "Resume" }).click();
    await page.locator("#summary .lead .state", { hasText: "succeeded" }).waitFor({ timeout: 60000 });
    await page.getByText("Take back").click();
    await page.locator("#undo").getByLabel("Reason").fill("errors at checkout");
    await page.getByRole("button", { name: "Undo" }).click();
    await page.locator("#summary p", { hasText: /^Taken back by system:serviceaccount:default:operator, .*: errors at checkout/ }).waitFor();
    await page.locator("#summary .lead .state", { hasText: "rolled back" }).waitFor({ timeout: 60000 });
    await check(page, "rollout-undone");
  },

  // Who may look may not decide, and who may nothing sees nothing.
  async rights() {
    const viewer = await person(VIEWER);
    for (const path of ["/drift", "/approvals", views.rollout]) {
      await viewer.goto(base + path);
      assert.equal(await viewer.locator("main button:not(:text-is('Filter'))").count(), 0, `${path} offers actions`);
    }
    await viewer.goto(base + instance + "?cluster=us-east");
    await viewer.getByText("Manifests are not shown").waitFor();
    const csrf = await viewer.locator("input[name=csrf]").first().inputValue();
    const forged = await viewer.request.post(base + "/approvals", {
      headers: { Origin: base }, form: { csrf, namespace: "shop", name: process.env.APPROVAL, uid: process.env.APPROVAL_UID, decision: "Approved" }, maxRedirects: 0,
    });
    assert.equal(forged.status(), 403);
    const order = await viewer.request.post(base + views.rollout, { headers: { Origin: base }, form: { csrf, order: "pause" }, maxRedirects: 0 });
    assert.equal(order.status(), 403);
    const nobody = await person(NOBODY);
    for (const path of Object.values(views)) {
      // A refusal repeats the address, which the viewer has typed.
      const status = (await nobody.goto(base + path)).status();
      if (path.split("?")[0].split("/").length > 2) {
        assert.equal(status, 403, `${path} gives ${status}`);
        continue;
      }
      const text = await nobody.locator("main").innerText();
      assert.ok(!/us-east|ap-south|webapp\b|spec\.replicas/.test(text.replace(/kubectl apply .*/g, "")), `${path} shows ${text}`);
    }
    const wrong = await browser.newPage();
    await wrong.goto(base + "/");
    await wrong.getByLabel("Token").fill("nonsense");
    await wrong.keyboard.press("Enter");
    await wrong.getByRole("alert").waitFor();
    assert.equal(await wrong.getByRole("heading", { level: 1 }).innerText(), "Log in");
  },
};

try {
  for (const step of process.argv.slice(2)) await steps[step]();
} catch (e) {
  failures.push(e.stack);
} finally {
  await browser.close();
}
for (const failure of failures) console.error(failure);
process.exitCode = failures.length ? 1 : 0;
