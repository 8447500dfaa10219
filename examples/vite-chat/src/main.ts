// The page: what is shown, and what a key or a button does.
import * as api from "./api";
import { READERS } from "./readers";

const on = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const list = on<HTMLUListElement>("list");
const listNote = on("list-note");
const listAgain = on<HTMLButtonElement>("list-again");
const log = on("log");
const scroll = on("scroll");
const banner = on("banner");
const bannerText = on("banner-text");
const retry = on<HTMLButtonElement>("retry");
const question = on<HTMLTextAreaElement>("question");
const send = on<HTMLButtonElement>("send");
const stop = on<HTMLButtonElement>("stop");
const side = on("side");
const shade = on("shade");
const menu = on<HTMLButtonElement>("menu");
const reader = on<HTMLSelectElement>("reader");

let conversation: string | null = null;
/** The answer that is coming. */
let running: Running | null = null;
/** The question whose answer failed, and where it stands. */
let failed: { query: string; shown: Shown } | null = null;
let countdown = 0;

// --- What was said

interface Shown {
  question: HTMLElement;
  answer: HTMLElement;
}

interface Running {
  abort: AbortController;
  /** What the server calls it; empty until it said so. */
  task: string;
  stopped: boolean;
}

function show(query: string, answer: string): Shown {
  log.querySelector(".welcome")?.remove();
  return { question: bubble("you", "You", query), answer: bubble("them", "Assistant", answer) };
}

function bubble(kind: string, who: string, text: string): HTMLElement {
  const article = document.createElement("article");
  article.className = `message ${kind}`;
  article.setAttribute("aria-label", who);
  const content = document.createElement("p");
  content.className = "text";
  content.textContent = text;
  article.append(content);
  log.append(article);
  return content;
}

/** Show the end of what was said, unless the person has scrolled away from it. */
function follow(change: () => void): void {
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  change();
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
}

async function showWelcome(): Promise<void> {
  log.replaceChildren();
  const box = document.createElement("div");
  box.className = "welcome";
  log.append(box);
  const { text, questions } = await api.welcome().catch(() => ({ text: "", questions: [] }));
  const greeting = document.createElement("p");
  greeting.textContent = text || "What would you like to know?";
  box.append(greeting);
  for (const one of questions) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.textContent = one;
    button.onclick = () => void ask(one);
    box.append(button);
  }
}

// --- Asking

async function ask(query: string): Promise<void> {
  if (running) return;
  clearBanner();
  failed = null;
  const shown = show(query, "");
  shown.answer.parentElement?.classList.add("coming");
  scroll.scrollTop = scroll.scrollHeight;
  const mine: Running = { abort: new AbortController(), task: "", stopped: false };
  setRunning(mine);
  const here = (): boolean => running === mine;
  const heard: api.Heard = {
    onText: (text) => here() && follow(() => shown.answer.append(text)),
    onReplace: (text) => here() && follow(() => (shown.answer.textContent = text)),
    onStart: (id, task) => {
      if (!here()) return;
      conversation = id;
      mine.task = task;
    },
  };
  try {
    await api.ask(query, conversation, READERS[reader.value]!, heard, mine.abort.signal);
  } catch (error) {
    if (here() && !mine.stopped) fail(query, shown, error);
  }
  shown.answer.parentElement?.classList.remove("coming");
  if (!here()) return;
  // A stopped answer may end by itself before we hang up.
  if (mine.stopped) note(shown.answer, "Stopped.");
  setRunning(null);
  question.focus();
  await loadList();
}

function fail(query: string, shown: Shown, error: unknown): void {
  failed = { query, shown };
  note(shown.answer, shown.answer.textContent ? "This answer is not whole." : "No answer came.");
  const { message, after } = error instanceof api.Failed ? error : { message: String(error), after: 0 };
  follow(() => showBanner(message, after));
}

function askAgain(): void {
  if (!failed) return void open(conversation);
  const { query, shown } = failed;
  // What got an answer, if only a part, stands in the history as well; what got none would stand there twice.
  if (!shown.answer.textContent) {
    shown.question.parentElement?.remove();
    shown.answer.parentElement?.remove();
  }
  void ask(query);
}

function note(answer: HTMLElement, text: string): void {
  const remark = document.createElement("p");
  remark.className = "note";
  remark.textContent = text;
  follow(() => answer.after(remark));
}

function setRunning(now: typeof running): void {
  running = now;
  log.setAttribute("aria-busy", String(now !== null));
  stop.hidden = now === null;
  send.hidden = now !== null;
  setSendable();
}

function setSendable(): void {
  send.disabled = question.value.trim() === "";
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

async function stopAnswer(): Promise<void> {
  if (!running || running.stopped) return;
  const { abort, task } = running;
  running.stopped = true;
  // The server first, so that it stops to think; what it has said until then stays.
  if (task) await api.stop(task).catch(() => {});
  abort.abort();
}

// --- What went wrong

function showBanner(text: string, after: number): void {
  bannerText.textContent = text;
  banner.hidden = false;
  let left = after;
  const tick = () => {
    retry.disabled = left > 0;
    retry.textContent = left > 0 ? `Retry in ${left} s` : "Retry";
    if (left-- <= 0) clearInterval(countdown);
  };
  clearInterval(countdown);
  countdown = window.setInterval(tick, 1000);
  tick();
}

function clearBanner(): void {
  clearInterval(countdown);
  banner.hidden = true;
  bannerText.textContent = "";
}

// --- Conversations

async function loadList(): Promise<void> {
  try {
    const found = await api.conversations();
    listAgain.hidden = true;
    listNote.textContent = found.length ? "" : "Nothing yet.";
    list.replaceChildren(...found.map(entry));
  } catch (error) {
    listAgain.hidden = false;
    listNote.textContent = `The conversations could not be loaded. ${(error as Error).message}`;
  }
}

function entry({ id, name }: api.Conversation): HTMLLIElement {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.title = name;
  if (id === conversation) button.setAttribute("aria-current", "true");
  button.onclick = () => void open(id);
  item.append(button);
  return item;
}

async function open(id: string | null): Promise<void> {
  running?.abort.abort();
  setRunning(null);
  clearBanner();
  conversation = id;
  showSide(false);
  for (const button of list.querySelectorAll("button")) button.removeAttribute("aria-current");
  if (id === null) {
    await showWelcome();
  } else {
    try {
      const said = await api.messages(id);
      if (conversation !== id) return;
      log.replaceChildren();
      for (const { query, answer } of said) show(query, answer);
      scroll.scrollTop = scroll.scrollHeight;
    } catch (error) {
      failed = null;
      showBanner((error as Error).message, 0);
    }
    await loadList();
  }
  question.focus();
}

function showSide(shown: boolean): void {
  side.classList.toggle("shown", shown);
  shade.hidden = !shown;
  menu.setAttribute("aria-expanded", String(shown));
}

// --- Keys and buttons

on<HTMLFormElement>("composer").onsubmit = (event) => {
  event.preventDefault();
  const query = question.value.trim();
  if (!query || running) return;
  question.value = "";
  void ask(query);
};
question.oninput = setSendable;
question.onkeydown = (event) => {
  // Enter while a Chinese word is being composed chooses the word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  on<HTMLFormElement>("composer").requestSubmit();
};
document.onkeydown = (event) => {
  if (event.key !== "Escape" || event.isComposing) return;
  if (side.classList.contains("shown")) {
    showSide(false);
    menu.focus();
  } else {
    void stopAnswer();
  }
};
stop.onclick = () => void stopAnswer();
retry.onclick = askAgain;
on("dismiss").onclick = () => {
  clearBanner();
  question.focus();
};
on("new").onclick = () => void open(null).then(loadList);
listAgain.onclick = () => void loadList();
shade.onclick = () => showSide(false);
menu.onclick = () => {
  showSide(true);
  on("new").focus();
};
reader.onchange = () => history.replaceState(null, "", reader.value === "robust" ? "/" : `/?reader=${reader.value}`);
reader.value = new URLSearchParams(location.search).get("reader") === "naive" ? "naive" : "robust";

setSendable();
question.focus();
void loadList();
void showWelcome();
api.appName().then(
  (name) => {
    on("title").textContent = name;
    document.title = name;
  },
  () => {},
);
