// A session of the emulator for each test: its own conversations, armings and journal. The page needs not know: every
// request of its browser context carries a header, and Vite's proxy hands it on.
import { test as base } from "@playwright/test";

const EMULATOR = process.env.CHAT_EMULATOR_URL;
if (!EMULATOR) throw new Error("CHAT_EMULATOR_URL is not set: run `npm test`, which starts the emulator.");

export interface Arming {
  operation?: string;
  scenario?: string;
  fault?: unknown;
  prefer?: string;
  times?: number | null;
}

/** As much of a journal's entry as is asked for here. */
export interface Call {
  operation: string;
  status: number;
  verdict: string;
  closed: string | null;
  scenario: string | null;
  request: { body: string };
}

export class Session {
  constructor(readonly name: string) {}

  /** What the next matching call shall get; `times: null` for all from now on. */
  async arm(what: Arming): Promise<void> {
    await this.#control("POST", "/armed", { backend: "dify", operation: "sendChatMessage", ...what });
  }

  /** 2 is twice as fast, 0 does not wait. */
  async speed(speed: number): Promise<void> {
    await this.#control("PATCH", "", { speed });
  }

  /** The calls that came, the oldest first. */
  async calls(operation = "sendChatMessage"): Promise<Call[]> {
    const { entries } = JSON.parse(await this.#control("GET", `/journal?operation=${operation}`));
    return entries;
  }

  async journal(): Promise<string> {
    return this.#control("GET", "/journal");
  }

  async reset(): Promise<void> {
    await this.#control("DELETE", "");
  }

  async #control(method: string, path: string, body?: object): Promise<string> {
    const reply = await fetch(`${EMULATOR}/_emulator/sessions/${this.name}${path}`, {
      method,
      headers: { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
    return text;
  }
}

export const test = base.extend<{ emulator: Session }>({
  // The port that Vite told; see `wait` in playwright.config.ts.
  baseURL: async ({}, use) => use(`http://127.0.0.1:${process.env.PAGE_PORT}`),
  emulator: async ({}, use, info) => {
    const session = new Session(`${info.testId.replace(/[^A-Za-z0-9]/g, "-")}-${info.retry}-${info.repeatEachIndex}`);
    await session.reset();
    await session.speed(10);
    await use(session);
    if (info.status !== info.expectedStatus) {
      await info.attach("journal", { body: await session.journal(), contentType: "application/json" });
    }
    await session.reset();
  },
  extraHTTPHeaders: async ({ emulator }, use) => use({ "X-Emulator-Session": emulator.name }),
});

export { expect } from "@playwright/test";
