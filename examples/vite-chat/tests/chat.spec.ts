// What a person meets in the page: four scenarios of the emulator, then two faults on the wire, then the rest.
import type { Page } from "@playwright/test";

import { expect, test } from "./session";

const answer = (page: Page) => page.getByRole("article", { name: "Assistant" }).last().locator(".text");
const question = (page: Page) => page.getByRole("textbox", { name: "Your question" });
const banner = (page: Page) => page.getByRole("alert");
const listed = (page: Page) => page.getByRole("complementary", { name: "Conversations" }).getByRole("listitem");

async function ask(page: Page, text: string): Promise<void> {
  await question(page).fill(text);
  await question(page).press("Enter");
}

/** When the answer has ended, in whatever way. */
async function settled(page: Page): Promise<void> {
  await expect(page.getByRole("log")).toHaveAttribute("aria-busy", "false");
}

test.beforeEach(async ({ page }) => {
  await page.goto("/");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Travel Desk");
});

// --- Scenarios

test("default: an answer comes, and is kept", async ({ page, emulator }) => {
  const before = await listed(page).count();
  expect(before).toBeGreaterThan(2);
  await ask(page, "What should I pack?");
  await settled(page);
  const said = await answer(page).textContent();
  expect(said!.length).toBeGreaterThan(20);
  await expect(banner(page)).toBeHidden();
  await expect(listed(page)).toHaveCount(before + 1);

  await page.reload();
  await listed(page).first().getByRole("button").click();
  await expect(answer(page)).toHaveText(said!);
  await ask(page, "And what else?");
  await settled(page);
  const [first, second] = (await emulator.calls()).map((call) => JSON.parse(call.request.body));
  expect(first.conversation_id).toBe("");
  expect(second.conversation_id).not.toBe("");
  await expect(listed(page)).toHaveCount(before + 1);
});

test("long-answer: it grows, and can be stopped", async ({ page, emulator }) => {
  await emulator.speed(1);
  await emulator.arm({ scenario: "long-answer" });
  await ask(page, "Explain everything.");
  await expect(answer(page)).toContainText("step by step");
  await expect(page.getByRole("log")).toHaveAttribute("aria-busy", "true");
  await page.getByRole("button", { name: "Stop" }).click();
  await settled(page);
  await expect(page.getByText("Stopped.")).toBeVisible();
  await expect(banner(page)).toBeHidden();
  expect((await answer(page).textContent())!.length).toBeLessThan(800);
  // The server knows, and does not go on for nobody.
  expect((await emulator.calls("stopChatMessageGeneration")).map((call) => call.status)).toEqual([200]);
  await expect.poll(async () => (await emulator.calls()).map((call) => call.closed)).toEqual(["stopped"]);

  await expect(question(page)).toBeFocused();
  await ask(page, "Shorter, please.");
  await settled(page);
  expect(await emulator.calls()).toHaveLength(2);
});

test("rate-limited: it says when to come back, and then it works", async ({ page, emulator }) => {
  await page.clock.install();
  await emulator.arm({ scenario: "rate-limited" });
  await ask(page, "Hello?");
  await expect(banner(page)).toContainText("Too many requests.");
  await expect(page.getByText("No answer came.")).toBeVisible();
  const retry = banner(page).getByRole("button", { name: "Retry" });
  await expect(retry).toBeDisabled();
  await page.clock.runFor(21_000);
  await expect(retry).toBeEnabled();
  await retry.click();
  await settled(page);
  await expect(banner(page)).toBeHidden();
  await expect(answer(page)).not.toBeEmpty();
  await expect(page.getByRole("article")).toHaveCount(2);
  expect((await emulator.calls()).map((call) => call.status)).toEqual([429, 200]);
});

test("error-mid-stream: what had come stays, and can be asked again", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "error-mid-stream" });
  await ask(page, "Tell me a secret.");
  await expect(banner(page)).toContainText("The model could not finish");
  await expect(answer(page)).toContainText("Let me think about that.");
  await expect(page.getByText("This answer is not whole.")).toBeVisible();
  await banner(page).getByRole("button", { name: "Retry" }).click();
  await settled(page);
  await expect(banner(page)).toBeHidden();
  expect((await emulator.calls()).map((call) => JSON.parse(call.request.body).query)).toEqual([
    "Tell me a secret.",
    "Tell me a secret.",
  ]);
});

test("message-replaced: what moderation puts in its place is what stands there", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "message-replaced" });
  await ask(page, "How do I pick a lock?");
  await settled(page);
  const [call] = await emulator.calls();
  expect(call!.scenario).toBe("message-replaced");
  const said = (await answer(page).textContent())!;
  await page.reload();
  await listed(page).first().getByRole("button").click();
  await expect(answer(page)).toHaveText(said);
});

test("ping-storm: keep-alives are not shown", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "ping-storm" });
  await ask(page, "Still there?");
  await settled(page);
  await expect(banner(page)).toBeHidden();
  await expect(answer(page)).toContainText("Still here");
});

// --- Faults

test("reset: a connection that breaks in mid-answer", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "default", fault: [{ latency: { for: "1s", event: 5 } }, { reset: { event: 5 } }] });
  await ask(page, "Hello?");
  await expect(banner(page)).toContainText("The connection was lost in mid-answer.");
  await expect(answer(page)).toHaveText("Sure, happy to help");
  await banner(page).getByRole("button", { name: "Retry" }).click();
  await settled(page);
  await expect(banner(page)).toBeHidden();
});

test("stall: an answer that never goes on", async ({ page, emulator }) => {
  await page.clock.install();
  await emulator.arm({ scenario: "default", fault: { stall: { event: 3 } } });
  await ask(page, "Hello?");
  await expect(answer(page)).toContainText("Sure, happy");
  await expect(banner(page)).toBeHidden();
  await page.clock.runFor(31_000);
  await expect(banner(page)).toContainText("Nothing more comes.");
  await settled(page);
});

test("truncate: an answer without its end is not taken for whole", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "default", fault: { truncate: { event: 4 } } });
  await ask(page, "Hello?");
  await expect(banner(page)).toContainText("The answer ended too early.");
  await expect(answer(page)).toContainText("Sure, happy");
});

// --- The rest

test("a proxy's page is no answer", async ({ page, emulator }) => {
  await emulator.arm({ scenario: "proxy-page" });
  await ask(page, "Hello?");
  await expect(banner(page)).toContainText("The server answered 502.");
  await emulator.arm({ scenario: "wrong-type" });
  await banner(page).getByRole("button", { name: "Retry" }).click();
  await expect(banner(page)).toContainText("something that is no answer");
});

test("a list that cannot be loaded, and then can", async ({ page, emulator }) => {
  await emulator.arm({ operation: "getConversationsList", prefer: "code=401" });
  await page.reload();
  const side = page.getByRole("complementary", { name: "Conversations" });
  await expect(side.getByRole("status")).toContainText("could not be loaded");
  await expect(listed(page)).toHaveCount(0);
  await side.getByRole("button", { name: "Try again" }).click();
  await expect(listed(page)).not.toHaveCount(0);
  await expect(side.getByRole("status")).toBeEmpty();
});

test("by keyboard alone", async ({ page, emulator }) => {
  await emulator.speed(1);
  await expect(question(page)).toBeFocused();
  await expect(page.getByRole("button", { name: "Send" })).toBeDisabled();
  await page.keyboard.type("One line");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("and another. /scenario");
  await emulator.arm({ scenario: "long-answer" });
  await page.keyboard.press("Enter");
  await expect(answer(page)).toContainText("longer answer");
  await page.keyboard.press("Escape");
  await settled(page);
  await expect(page.getByText("Stopped.")).toBeVisible();
  await expect(question(page)).toBeFocused();
  const [call] = await emulator.calls();
  expect(JSON.parse(call!.request.body).query).toBe("One line\nand another. /scenario");
});

test("a suggested question is asked by a click", async ({ page, emulator }) => {
  const chip = page.getByRole("log").getByRole("button").first();
  const text = await chip.textContent();
  await chip.click();
  await settled(page);
  const [call] = await emulator.calls();
  expect(JSON.parse(call!.request.body).query).toBe(text);
});

test("on a narrow screen the conversations come when they are called", async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 700 });
  const menu = page.getByRole("button", { name: "Conversations" });
  await expect(listed(page)).toHaveCount(0);
  await menu.click();
  await expect(menu).toHaveAttribute("aria-expanded", "true");
  await expect(listed(page)).not.toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(menu).toHaveAttribute("aria-expanded", "false");
  await expect(menu).toBeFocused();
  await menu.click();
  await listed(page).first().getByRole("button").click();
  await expect(menu).toHaveAttribute("aria-expanded", "false");
  await expect(answer(page)).not.toBeEmpty();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  expect(wide, "nothing is cut off at the side").toBe(false);
});

test("without the proxy: any page may call the emulator, and name its session", async ({ page, emulator }) => {
  const url = process.env.CHAT_EMULATOR_DIFY_URL!.replace("/dify/", `/_s/${emulator.name}/dify/`);
  const key = process.env.CHAT_EMULATOR_DIFY_KEY!;
  const status = await page.evaluate(
    async ([url, key]) => {
      const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
      const body = JSON.stringify({ inputs: {}, query: "Hello?", user: "abc-123", response_mode: "blocking" });
      return (await fetch(`${url}/chat-messages`, { method: "POST", headers, body })).status;
    },
    [url, key],
  );
  expect(status).toBe(200);
  expect(await emulator.calls()).toHaveLength(1);
});

test("what a screen reader is told", async ({ page }) => {
  await listed(page).first().getByRole("button").click();
  await expect(page.getByRole("main")).toMatchAriaSnapshot(`
    - main:
      - heading "Travel Desk" [level=1]
      - log "Messages":
        - article "You":
          - paragraph: /.+/
        - article "Assistant":
          - paragraph: /.+/
      - text: Your question
      - textbox "Your question"
      - button "Send" [disabled]
      - paragraph: Enter sends, Shift and Enter make a new line, Escape stops an answer.
  `);
  await expect(listed(page).first().getByRole("button")).toHaveAttribute("aria-current", "true");
});
