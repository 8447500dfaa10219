// An assistant as an application would have it: answers piece by piece from a Dify app, with patience for a busy server
// and a clear word when an answer fails on its way.
import { setTimeout as sleep } from "node:timers/promises";

import { ChatClient } from "dify-client";
import { createParser } from "eventsource-parser";

/** An answer that did not become whole. `partial` is what had come of it, `code` says why. */
export class AnswerFailed extends Error {
  constructor(code, message, partial = "", cause = undefined) {
    super(message, { cause });
    this.name = "AnswerFailed";
    this.code = code;
    this.partial = partial;
  }
}

export class Assistant {
  #client;
  #user;
  #attempts;
  #wait;
  #conversation = null;

  /** `wait` takes milliseconds; tests give one that does not wait. */
  constructor({ url, key, user, attempts = 3, wait = sleep }) {
    this.#client = new ChatClient(key, url);
    this.#user = user;
    this.#attempts = attempts;
    this.#wait = wait;
  }

  /** Ask, in the conversation so far. Gives the pieces of the answer as they come; throws AnswerFailed. */
  async *ask(question) {
    const reply = await this.#send(question);
    let partial = "";
    let whole = false;
    try {
      for await (const event of eventsOf(reply.data)) {
        if (event.conversation_id) this.#conversation = event.conversation_id;
        if (event.event === "error") throw new AnswerFailed(event.code, event.message, partial);
        if (event.event === "message_end") whole = true;
        if (event.event !== "message") continue;
        partial += event.answer;
        yield event.answer;
      }
    } catch (error) {
      if (error instanceof AnswerFailed) throw error;
      throw new AnswerFailed("connection_lost", "The connection broke in mid-answer.", partial, error);
    }
    if (!whole) throw new AnswerFailed("incomplete", "The answer ended too early.", partial);
  }

  /** What was said in the conversation so far, the oldest first. */
  async history() {
    if (this.#conversation === null) return [];
    const { data } = (await this.#client.getConversationMessages(this.#user, this.#conversation)).data;
    return data.map(({ query, answer }) => ({ query, answer }));
  }

  async #send(question) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#client.createChatMessage({}, question, this.#user, true, this.#conversation);
      } catch (error) {
        const { status, headers = {}, data } = error.response ?? {};
        // Nobody reads this body, and while it is open it keeps the connection, and a test runner, waiting.
        data?.destroy();
        const busy = status === 429 || status === 503;
        if (!busy || attempt === this.#attempts) {
          throw new AnswerFailed(busy ? "busy" : "refused", `The server answered ${status ?? "nothing"}.`, "", error);
        }
        await this.#wait(1000 * Number(headers["retry-after"] ?? 1));
      }
    }
  }
}

/** The events of a Node stream of bytes. */
async function* eventsOf(stream) {
  const events = [];
  // A keep-alive is an event without data, of which the parser says nothing.
  const parser = createParser({ onEvent: ({ data }) => events.push(JSON.parse(data)) });
  // Keeps the first bytes of a character until the others come.
  stream.setEncoding("utf8");
  for await (const text of stream) {
    parser.feed(text);
    yield* events.splice(0);
  }
}
