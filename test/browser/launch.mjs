// Launches Chromium: the one that CHROMIUM names, the one on the PATH, as Debian's
// package chromium has it, or else the one that an npm package brings, which needs
// neither root nor libraries. MODULES is where npm put them.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

export const require = createRequire(process.env.MODULES + "/");
const { chromium } = require("playwright-core");

async function executable() {
  const named = process.env.CHROMIUM;
  if (named && !existsSync(named)) throw new Error(`CHROMIUM is ${named}, which is not there`);
  const installed = named || (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "chromium")).find(existsSync);
  if (installed) return installed;
  // Not with the package's own arguments: they turn off what is tested here, and
  // a single process mixes up cookies.
  return (await import(require.resolve("@sparticuz/chromium"))).default.executablePath();
}

export async function launch() {
  const executablePath = await executable();
  console.log(`browser: ${executablePath}`);
  const root = process.getuid() === 0;
  if (root) console.log(`${executablePath} runs without its sandbox: Chromium has none for root`);
  try {
    return await chromium.launch({ executablePath, chromiumSandbox: !root });
  } catch (e) {
    if (root || !/sandbox|namespace|zygote/i.test(e.message)) throw e;
    console.log(`${executablePath} runs without its sandbox: the kernel lets this user make no namespaces`);
    return chromium.launch({ executablePath, chromiumSandbox: false });
  }
}
