// Calls to the Dify app behind `/api`. Knows the wire and nothing of the page.
import type { Reader } from "./readers";

const USER = "abc-123";
/** Dify sends a keep-alive every ten seconds: after half a minute without a byte nobody is there any more. */
const SILENCE_MS = 30_000;

export interface Conversation {
  id: string;
  name: string;
}

export interface Message {
  query: string;
  answer: string;
}

export interface Welcome {
  text: string;
  questions: string[];
}

/** A call or an answer that failed, in words for a person. `after` is when to come back, in seconds. */
export class Failed extends Error {
  constructor(
    message: string,
    readonly after = 0,
  ) {
    super(message);
  }
}

/** What happens while an answer comes. */
export interface Heard {
  /** More of the answer. */
  onText(text: string): void;
  /** The whole answer so far is to be replaced. */
  onReplace(text: string): void;
  /** The conversation it belongs to, and the task that can be stopped. */
  onStart(conversation: string, task: string): void;
}

interface Event {
  event: string;
  answer?: string;
  code?: string;
  message?: string;
  conversation_id?: string;
  task_id?: string;
}

export async function welcome(): Promise<Welcome> {
  const found = await call("GET", "/parameters");
  return { text: found.opening_statement ?? "", questions: found.suggested_questions ?? [] };
}

export async function appName(): Promise<string> {
  return (await call("GET", "/info")).name;
}

export async function conversations(): Promise<Conversation[]> {
  return (await call("GET", `/conversations?user=${USER}&limit=50`)).data;
}

export async function messages(conversation: string): Promise<Message[]> {
  return (await call("GET", `/messages?user=${USER}&conversation_id=${conversation}&limit=100`)).data;
}

export async function stop(task: string): Promise<void> {
  await call("POST", `/chat-messages/${task}/stop`, { user: USER });
}

/** Ask, and tell what comes. Returns when the answer is whole; throws Failed, or what `signal` was aborted with. */
export async function ask(
  query: string,
  conversation: string | null,
  reader: Reader,
  heard: Heard,
  signal: AbortSignal,
): Promise<void> {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const body = { inputs: {}, query, user: USER, response_mode: "streaming", conversation_id: conversation ?? "" };
  let timer = 0;
  const listen = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => silence.abort(), SILENCE_MS);
  };
  try {
    listen();
    const reply = await send("POST", "/chat-messages", body, either);
    if (!reply.body || !reply.headers.get("content-type")?.startsWith("text/event-stream")) {
      throw new Failed("The server answered with something that is no answer.");
    }
    const bytes = reply.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          listen();
          controller.enqueue(chunk);
        },
      }),
    );
    for await (const event of reader(bytes)) {
      if (take(event as Event, heard)) return;
    }
    throw new Failed("The answer ended too early.");
  } catch (error) {
    if (silence.signal.aborted) throw new Failed("Nothing more comes. The server may have lost the answer.");
    if (signal.aborted || error instanceof Failed) throw error;
    if (error instanceof SyntaxError) throw new Failed(`A part of the answer cannot be read: ${error.message}`);
    throw new Failed("The connection was lost in mid-answer.");
  } finally {
    clearTimeout(timer);
  }
}

/** Tell what an event says; whether it was the last. */
function take(event: Event, heard: Heard): boolean {
  if (event.conversation_id && event.task_id) heard.onStart(event.conversation_id, event.task_id);
  switch (event.event) {
    case "message":
    case "agent_message":
      heard.onText(event.answer ?? "");
      return false;
    case "message_replace":
      heard.onReplace(event.answer ?? "");
      return false;
    case "error":
      throw new Failed(`The model could not finish: ${event.message ?? event.code}`);
    default:
      return event.event === "message_end";
  }
}

async function call(method: string, path: string, body?: object): Promise<any> {
  const reply = await send(method, path, body);
  return reply.status === 204 ? null : reply.json();
}

async function send(method: string, path: string, body?: object, signal?: AbortSignal): Promise<Response> {
  const headers = body ? { "Content-Type": "application/json" } : undefined;
  let reply: Response;
  try {
    reply = await fetch(`/api${path}`, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failed("The server cannot be reached.");
  }
  if (reply.ok) return reply;
  const after = Number(reply.headers.get("retry-after")) || 0;
  // A proxy on the way answers in HTML; only the backend has words for a person.
  const told = await reply.json().then(
    (error) => String(error.message ?? ""),
    () => "",
  );
  throw new Failed(told || `The server answered ${reply.status}.`, after);
}
