/* How the API is asked. The token goes into a header, never into a URL, and is forgotten with the tab. */

import { words } from "./words.js";

const KEY = "c2c-session";
const BASE = new URL("v1/", document.baseURI);

/** What the API had against a request; status 0: it could not be reached. */
export class Problem extends Error {
  constructor(status, message, data = {}, wait = 0) {
    super(message);
    Object.assign(this, { status, data, wait });
  }

  /** What to tell whoever asked. */
  get told() {
    const own = this.data?.message;
    const text = words.statuses[this.status] ?? (typeof own === "string" ? own : this.message);
    const more = this.status === 503 && typeof own === "string" ? ` ${words.said(own)}` : "";
    return `${text}${more}${this.wait ? ` ${words.again(this.wait)}` : ""}`;
  }
}

/** Who is signed in. */
export const session = {
  /** {token, account, name} or null. */
  get current() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY));
    } catch {
      return null;
    }
  },
  begin(token, account, name) {
    sessionStorage.setItem(KEY, JSON.stringify({ token, account, name }));
  },
  end() {
    sessionStorage.removeItem(KEY);
  },
};

const address = (path, query) => {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  return url;
};

const send = async (method, path, { query, data, headers = {}, signal } = {}) => {
  const token = session.current?.token;
  const options = { method, headers: { ...headers }, signal, cache: "no-store", credentials: "omit" };
  if (token) options.headers["X-Auth-Token"] = token;
  if (data !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify({ data });
  }
  let answer;
  try {
    answer = await fetch(address(path, query), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, words.statuses[0]);
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  // Signed in still, and not so any more: not a wrong password, and not the answer to a request from before.
  if (answer.status === 401 && token && session.current?.token === token) {
    session.end();
    dispatchEvent(new CustomEvent("c2c-expired"));
  }
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  throw new Problem(answer.status, body.message ?? answer.statusText, body.data ?? {}, wait);
};

/** Ask; the answer's envelope, with `etag` of a document. */
export const ask = async (method, path, options) => {
  const answer = await send(method, path, options);
  const body = await answer.json();
  return Object.assign(body, { etag: answer.headers.get("ETag") });
};

/** A path below the account's. */
export const own = (path = "") => `accounts/${session.current?.account ?? ""}${path}`;

/** Part of a path. */
export const part = (text) => encodeURIComponent(text);

export const get = (path, query, signal) => ask("GET", path, { query, signal });

/** All pages of a list, up to `most` rows; {rows, more}. */
export const all = async (path, query, signal, most = 5000) => {
  const rows = [];
  let start;
  do {
    const page = await get(path, { page_size: 1000, ...query, start_key: start }, signal);
    rows.push(...page.data);
    start = page.next_start_key;
  } while (start && rows.length < most);
  return { rows, more: Boolean(start) };
};

/** Something that is no envelope: its octets. */
export const fetchBlob = async (path, { query, headers, signal } = {}) =>
  (await send("GET", path, { query, headers, signal })).blob();

/** Have the browser save something under a name. */
export const save = async (path, name, options) => {
  const url = URL.createObjectURL(await fetchBlob(path, options));
  const link = document.createElement("a");
  link.download = name;
  link.href = url;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
};
