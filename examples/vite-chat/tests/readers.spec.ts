// The same page, the same streams, two readers: what breaks when chunks are taken for events.
import type { Page } from "@playwright/test";

import { type Arming, expect, test } from "./session";

interface Case {
  what: string;
  armed: Arming;
  /** What stands there in the end. */
  whole: string;
  /** How the naive reader fails: its complaint, and what stands there then. */
  complaint: RegExp;
  left: string;
}

const USUAL =
  "Sure, happy to help. Here is a short answer that arrives piece by piece, the way a model writes it, so that you can " +
  "watch your page fill up.";

// The pauses keep the chunks apart on their way through the proxy and the browser.
const CASES: Case[] = [
  {
    what: "a keep-alive between two events",
    armed: { scenario: "ping-between-deltas" },
    whole: "One moment, I am looking that up … and here is what I found: everything is in order.",
    complaint: /Unexpected token/,
    left: "One moment, I am looking that up",
  },
  {
    what: "a character cut in two",
    armed: { scenario: "split-characters", fault: { slice: { inside: "character", every: "200ms" } } },
    whole: "每个汉字都被切成两半，表情也一样：🙂🚀。",
    complaint: /Unterminated string/,
    left: "",
  },
  {
    what: "an event cut in two",
    armed: { scenario: "default", fault: { slice: { inside: "field", every: "200ms" } } },
    whole: USUAL,
    complaint: /Unexpected end of JSON/,
    left: "",
  },
  {
    what: "two events together whose lines end in CR LF",
    armed: { scenario: "default", fault: [{ line_end: "crlf" }, { coalesce: { events: 2 } }] },
    whole: USUAL,
    complaint: /after JSON/,
    left: "",
  },
];

async function read(page: Page, reader: string): Promise<void> {
  await page.goto(`/?reader=${reader}`);
  await expect(page.getByLabel("Stream reader")).toHaveValue(reader);
  await page.getByRole("textbox", { name: "Your question" }).fill("Hello?");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByRole("log")).toHaveAttribute("aria-busy", "false");
}

const text = (page: Page) => page.getByRole("article", { name: "Assistant" }).locator(".text");

for (const { what, armed, whole, complaint, left } of CASES) {
  test(`${what}: the robust reader`, async ({ page, emulator }) => {
    await emulator.arm(armed);
    await read(page, "robust");
    await expect(page.getByRole("alert")).toBeHidden();
    await expect(text(page)).toHaveText(whole);
  });

  test(`${what}: the naive reader`, async ({ page, emulator }) => {
    // Real pauses: what comes together by chance would be read by chance.
    await emulator.speed(1);
    await emulator.arm(armed);
    await read(page, "naive");
    await expect(page.getByRole("alert")).toContainText("A part of the answer cannot be read");
    await expect(page.getByRole("alert")).toContainText(complaint);
    await expect(text(page)).toHaveText(left);
  });
}

test("on one's own desk the naive reader works, which is how it gets to users", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "default" });
  await read(page, "naive");
  await expect(page.getByRole("alert")).toBeHidden();
  await expect(text(page)).toHaveText(USUAL);
});
