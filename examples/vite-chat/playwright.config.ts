import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  fullyParallel: true,
  forbidOnly: Boolean(process.env.CI),
  reporter: "list",
  use: {
    browserName: "chromium",
    screenshot: "only-on-failure",
    launchOptions: {
      // The system's own Chromium, so that nothing is downloaded. CHROMIUM names another.
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      // It stays on this machine.
      args: ["--disable-quic", "--disable-gpu", "--disable-sync", "--disable-component-update"],
    },
  },
  webServer: {
    // Vite takes the next port if its own is taken; the tests read which one from what it prints.
    command: "vite",
    wait: { stdout: /http:\/\/127\.0\.0\.1:(?<page_port>\d+)/ },
    // Playwright asks for colours, which would stand in the middle of the address.
    env: { NO_COLOR: "1", FORCE_COLOR: "0" },
  },
});
