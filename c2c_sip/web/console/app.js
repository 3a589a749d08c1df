/* The frame around all pages: who is signed in, where one is, and what is stopped when one leaves. */

import { el } from "./dom.js";
import { Problem, ask, get, session } from "./api.js";
import { alarm, confirm, failed, heading } from "./parts.js";
import { words } from "./words.js";
import { signIn } from "./signin.js";
import { dashboard } from "./dashboard.js";
import { clicktocalls } from "./clicktocalls.js";
import { clicktocall } from "./clicktocall.js";
import { history } from "./history.js";
import { call } from "./call.js";
import { settings } from "./settings.js";

const PAGES = [
  [/^\/$/, "dashboard", dashboard],
  [/^\/clicktocalls$/, "clicktocalls", clicktocalls],
  [/^\/clicktocalls\/([0-9a-z]+)$/, "clicktocalls", clicktocall],
  [/^\/history$/, "history", history],
  [/^\/history\/([0-9a-f]+)$/, "history", call],
  [/^\/settings$/, "settings", settings],
];
const PLACES = { dashboard: "#/", clicktocalls: "#/clicktocalls", history: "#/history", settings: "#/settings" };

let leaving = new AbortController();
let frame;

/** What a page may use as long as it is looked at. */
const visit = (signal) => ({
  signal,
  /** Have `unsaved` asked before one leaves: whether something typed would be lost. */
  guard(unsaved) {
    if (!signal.aborted) frame.unsaved = unsaved;
  },
  /** Do something every so many milliseconds, one after the other, not while nobody looks; an answer false ends it. */
  every(milliseconds, work) {
    const again = async () => {
      if (signal.aborted) return;
      if (!document.hidden) {
        try {
          const goesOn = await work();
          if (!signal.aborted) frame.trouble.say("");
          if (goesOn === false) return;
        } catch (error) {
          if (error.name === "AbortError" || signal.aborted) return;
          if (!(error instanceof Problem)) throw error;
          frame.trouble.say(words.stale(error.told));
        }
      }
      if (!signal.aborted) setTimeout(again, milliseconds);
    };
    setTimeout(again, milliseconds);
  },
});

const where = () => {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  return { path, query: new URLSearchParams(query ?? "") };
};

const signOut = async () => {
  try {
    await ask("DELETE", "token_auth");
  } catch (error) {
    // Where it cannot be revoked, at least nothing here knows it any more.
    if (!(error instanceof Problem)) throw error;
  }
  session.end();
  window.history.replaceState(null, "", "#/");
  welcome(words.signIn.left);
};

const makeFrame = () => {
  const link = (name) => el("a", { href: PLACES[name], "data-page": name }, words.pages[name]);
  const nav = el("nav", { "aria-label": words.menu }, Object.keys(PLACES).filter((name) => name !== "settings").map(link));
  const main = el("main", { id: "main", tabindex: -1 });
  const skip = el("a", { class: "skip", href: "#main", click: (event) => {
    event.preventDefault();
    frame.main.focus();
  } }, words.skip);
  const trouble = alarm();
  const who = session.current.name || "";
  document.body.replaceChildren(skip,
    el("header", { class: "bar" },
      el("a", { class: "brand", href: "#/" }, el("span", { class: "mark", "aria-hidden": "true" }), words.title),
      nav,
      el("div", { class: "who" }, el("span", { class: "account", title: words.signedIn(who) }, who),
        el("button", { type: "button", class: "small", click: signOut }, words.signOut))),
    el("div", { class: "trouble" }, trouble), main);
  // Only those who run the service see its settings.
  get("trunks").then(
    () => nav.isConnected && nav.append(link("settings")),
    (error) => {
      if (!(error instanceof Problem)) throw error;
    },
  ).then(() => mark(nav));
  return { main, nav, trouble };
};

const mark = (nav, name = frame?.page) => {
  for (const link of nav.querySelectorAll("a"))
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
};

const welcome = (told) => {
  leaving.abort();
  frame = undefined;
  document.title = words.page(words.signIn.title);
  signIn(document.body, told, () => open());
};

const open = async (arrived = false) => {
  leaving.abort();
  if (!session.current) {
    welcome();
    return;
  }
  leaving = new AbortController();
  const { signal } = leaving;
  frame ??= makeFrame();
  const { path, query } = where();
  const [pattern, name, page] = PAGES.find(([each]) => each.test(path)) ?? [];
  frame.page = name;
  frame.unsaved = undefined;
  frame.trouble.say("");
  mark(frame.nav);
  const main = el("main", { id: "main", tabindex: -1 });
  frame.main.replaceWith(main);
  frame.main = main;
  scrollTo(0, 0);
  if (!page) {
    main.append(heading(words.absent));
    return;
  }
  try {
    await page(main, { ...visit(signal), parameters: pattern.exec(path).slice(1), query });
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    main.append(heading(words.pages[name]));
    const place = el("div");
    main.append(place);
    failed(place, error);
  }
  const title = main.querySelector("h1");
  document.title = words.page(title?.textContent || words.pages[name]);
  if (arrived) title?.focus({ preventScroll: true });
};

let shown = location.hash;
/** Go where the address says, unless that would lose what was typed, and nobody wants that. */
const arrive = async () => {
  if (!frame && !session.current) return;
  const next = location.hash;
  if (next !== shown && frame?.unsaved?.() && !(await confirm(words.leave.title, words.leave.told, words.leave.yes))) {
    window.history.replaceState(null, "", shown);
    return;
  }
  shown = location.hash;
  open(true);
};

addEventListener("hashchange", arrive);
addEventListener("beforeunload", (event) => frame?.unsaved?.() && event.preventDefault());
addEventListener("c2c-expired", () => welcome(words.signIn.expired));
open();
