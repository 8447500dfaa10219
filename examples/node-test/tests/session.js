// A world of its own for each test: what it stores, arms and calls is nobody else's. The whole of what a project needs to
// drive the emulator from JavaScript.
const EMULATOR = process.env.CHAT_EMULATOR_URL;
if (!EMULATOR) throw new Error("CHAT_EMULATOR_URL is not set: run `npm test`, which starts the emulator.");

/** The session of a test (the `t` that `node:test` hands over), as it is at the start. */
export async function sessionOf(t) {
  const name = `${t.name.replace(/[^A-Za-z0-9]+/g, "-").slice(0, 40)}-${process.pid}`;
  const session = new Session(name);
  await session.reset();
  t.after(() => session.reset());
  return session;
}

class Session {
  #control;

  constructor(name) {
    this.name = name;
    this.#control = `${EMULATOR}/_emulator/sessions/${name}`;
    /** For clients that cannot add a header, the session stands in the address. */
    this.dify = process.env.CHAT_EMULATOR_DIFY_URL.replace(EMULATOR, `${EMULATOR}/_s/${name}`);
    this.key = process.env.CHAT_EMULATOR_DIFY_KEY;
  }

  /** What the next call (or the next `times` calls) shall get: `{ scenario }`, `{ fault }` or `{ prefer }`. */
  async arm(what) {
    await this.#call("POST", "/armed", { backend: "dify", operation: "sendChatMessage", ...what });
  }

  /** The calls that came, the oldest first. */
  async calls(operation) {
    const { entries } = await this.#call("GET", `/journal?operation=${operation}`);
    return entries;
  }

  async reset() {
    await this.#call("DELETE", "");
  }

  async #call(method, path, body) {
    const reply = await fetch(this.#control + path, {
      method,
      headers: { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
    return reply.status === 204 ? null : reply.json();
  }
}
