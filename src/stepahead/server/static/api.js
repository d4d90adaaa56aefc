// The service as the page calls it. Path and body -> JSON, or a Refusal whose message is a plain sentence.
let token = ""; // here alone, and gone with the page
let needed = () => {};

export class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}
export const useToken = (given) => { token = given; };
export const onTokenNeeded = (ask) => { needed = ask; };
export const series = (id) => `v1/series/${encodeURIComponent(id)}`;

const SENTENCES = {
  401: "The service asks for its token.",
  413: "That is more than the service takes at once.",
  429: "The service has its hands full; try again in a moment.",
  503: "The service is stopping or not ready yet.",
};

// body undefined: GET, or another method without a body.
export async function call(path, { method, body, signal } = {}) {
  const answer = await reach(path, {
    method: method ?? (body === undefined ? "GET" : "POST"), signal,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return answer.status === 204 ? null : answer.json();
}

async function reach(path, options) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) needed(Boolean(token));
  throw new Refusal(answer.status, await sentence(answer));
}

async function sentence(answer) {
  const problem = await answer.json().catch(() => ({}));
  if (typeof problem.detail === "string" && problem.detail) return capital(problem.detail);
  return SENTENCES[answer.status] ?? `The service refused: ${problem.title ?? answer.status}.`;
}
const capital = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

// Server-sent events by fetch, for EventSource cannot send a token. Yields {event, data} until the stream ends.
export async function* events(path, signal) {
  const answer = await reach(path, { signal, headers: { accept: "text/event-stream" } });
  yield { event: "open", data: null };
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const found = parse(block);
      if (found.data) yield { event: found.event, data: JSON.parse(found.data) };
    }
  }
}
function parse(block) {
  const found = { event: "message", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^([^:]+):? ?(.*)$/.exec(line) ?? [];
    if (name === "event") found.event = value;
    if (name === "data") found.data += value;
  }
  return found;
}
