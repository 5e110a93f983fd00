// Measures the fleet's page for `make bench`, with a cache that is empty, as
// the first visit has it. It prints a line for each figure, and then one for each
// change of a tile, until its input ends.
import { launch } from "./launch.mjs";

const { URL: base, TOKEN, TILE, ROUNDS } = process.env;
const browser = await launch();
process.stdin.on("end", () => browser.close()).resume();

const first = await browser.newContext();
const login = await first.newPage();
await login.goto(base + "/login");
await login.getByLabel("Token").fill(TOKEN);
await login.keyboard.press("Enter");
await login.getByRole("heading", { level: 1, name: "Fleet" }).waitFor();
const storageState = await first.storageState();
await first.close();

for (let round = 0; round < Number(ROUNDS); round++) {
  const context = await browser.newContext({ storageState });
  const page = await context.newPage();
  await page.goto(base + "/", { waitUntil: "load" });
  const [paint, bytes, tiles] = await page.evaluate(async () => {
    const painted = () => performance.getEntriesByName("first-contentful-paint")[0];
    while (!painted()) await new Promise(requestAnimationFrame);
    const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    return [painted().startTime, loaded.reduce((sum, e) => sum + e.transferSize, 0), document.querySelectorAll(".tile").length];
  });
  console.log(`paint ${paint}`);
  console.log(`bytes ${bytes}`);
  console.log(`tiles ${tiles}`);
  await context.close();
}

const context = await browser.newContext({ storageState });
const page = await context.newPage();
page.on("console", (message) => message.text().startsWith("tile ") && console.log(message.text()));
await page.addInitScript((tile) => {
  let before = "";
  new MutationObserver(() => {
    const now = document.getElementById(tile)?.className ?? "";
    if (now === before) return;
    before = now;
    // After the next frame it is on the screen.
    requestAnimationFrame(() => setTimeout(() => console.log(`tile ${Date.now()} ${now}`)));
  }).observe(document, { subtree: true, childList: true });
}, TILE);
await page.goto(base + "/", { waitUntil: "load" });
await page.locator("#link", { hasText: "Live" }).waitFor();
console.log("watching");
