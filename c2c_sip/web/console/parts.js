/* What several pages are made of. */

import { el, fresh, show, unseen } from "./dom.js";
import { Problem } from "./api.js";
import { words } from "./words.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dateOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

/** A moment, in Unix seconds, as people say it: without the day today, without the year this year. */
export const moment = (seconds) => {
  const then = new Date(seconds * 1000), now = new Date();
  const day = then.toDateString() === now.toDateString() ? ""
    : `${(then.getFullYear() === now.getFullYear() ? date : dateOfYear).format(then)}, `;
  return el("time", { datetime: then.toISOString(), title: then.toLocaleString() }, day + clock.format(then));
};

export const fullMoment = (seconds) => {
  const then = new Date(seconds * 1000);
  return el("time", { datetime: then.toISOString() }, `${dateOfYear.format(then)}, ${clock.format(then)}`);
};

export const badge = (kind, text) => el("span", { class: `badge ${kind}` }, text);

/** How a call went, from its history item. */
export const result = (item) => {
  if (item.rule !== undefined) return badge("warn", words.results.refused);
  if (item.state !== "ended") return badge("live", words.states[item.state] ?? item.state);
  return item.result === "success" ? badge("good", words.results.success) : badge("bad", words.results.error);
};

/** Why it ended so: the service's sentence, else what the cause means. */
export const why = (item) => {
  if (item.explanation) return item.explanation;
  if (item.rule !== undefined) return words.ruled(words.rules[item.rule], item.rule, item.times);
  if (!item.cause) return "";
  return words.causes[item.cause] ?? words.caused(item.cause, item.sip_status);
};

/** A part of a page with a heading. */
export const panel = (title, ...children) => {
  const id = fresh("panel");
  return el("section", { class: "panel", "aria-labelledby": id }, el("h2", { id }, title), ...children);
};

export const empty = (text, ...more) => el("div", { class: "empty" }, el("p", {}, text), ...more);

export const button = (text, click, attributes = {}) => el("button", { type: "button", click, ...attributes }, text);

/** The page's name, which gets the focus when somebody comes here. */
export const heading = (text, ...beside) =>
  el("div", { class: "heading" }, el("h1", { tabindex: -1 }, text), beside.length ? el("div", { class: "actions" }, ...beside) : null);

/** A table that becomes a list of cards where it is narrow. Columns: [title, row => content, class]. */
export const table = (name, columns, rows, attributes = {}) =>
  el("table", { class: "rows", role: "table", "aria-label": name, ...attributes },
    el("thead", { role: "rowgroup" },
      el("tr", { role: "row" }, columns.map(([title, , kind]) => el("th", { role: "columnheader", scope: "col", class: kind }, title)))),
    el("tbody", { role: "rowgroup" }, rows.map((row) => tableRow(columns, row))));

const tableRow = (columns, row) =>
  el("tr", { role: "row" }, columns.map(([title, content, kind]) =>
    el("td", { role: "cell", class: kind, "data-label": title }, el("div", {}, content(row)))));

/** Names and what they stand for. */
export const facts = (pairs, kind = "") =>
  el("dl", { class: `facts ${kind}` }, pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value))));

/** A field of a form, with a hint and room for what is wrong with it. */
export const field = (label, control, hint) => {
  control.id ||= fresh("field");
  const told = hint ? el("small", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  const wrong = el("small", { class: "wrong", id: `${control.id}-wrong` });
  control.setAttribute("aria-describedby", [told?.id, wrong.id].filter(Boolean).join(" "));
  const isCheck = control.type === "checkbox";
  const name = el("label", { for: control.id }, label);
  const made = el("div", { class: isCheck ? "field check" : "field" }, isCheck ? [control, name] : [name, control], told, wrong);
  made.control = control;
  made.say = (text) => {
    wrong.textContent = text ?? "";
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return made;
};

export const choice = (options, attributes = {}) => {
  const made = el("select", attributes);
  for (const [value, text] of Object.entries(options)) made.append(el("option", { value }, text));
  if (attributes.value !== undefined) made.value = attributes.value;
  return made;
};

/** A pair of buttons of which one is pressed. */
export const switcher = (name, options, chosen, changed) => {
  const buttons = Object.entries(options).map(([value, text]) => {
    const made = button(text, () => pick(value, true), { class: "segment" });
    made.value = value;
    return made;
  });
  const pick = (value, tell) => {
    if (tell && changed(value) === false) return;
    for (const each of buttons) each.setAttribute("aria-pressed", String(each.value === value));
  };
  pick(chosen, false);
  const made = el("div", { class: "segments", role: "group", "aria-label": name }, buttons);
  made.pick = (value) => pick(value, false);
  return made;
};

/** A place that says how things go; screen readers read what comes into it. */
export const notice = () => {
  const place = el("div", { class: "notice", role: "status" });
  place.say = (text, kind = "") => {
    place.className = `notice ${text ? kind : ""}`;
    place.replaceChildren(...(text ? [text].flat() : []));
  };
  return place;
};

/** The same for what went wrong. */
export const alarm = () => {
  const place = notice();
  place.setAttribute("role", "alert");
  const say = place.say;
  place.say = (text, kind = "bad") => say(text, kind);
  return place;
};

/** A question; resolves to whether it was answered with yes. */
export const confirm = (title, text, yes) =>
  new Promise((answer) => {
    const id = fresh("dialog");
    const dialog = el("dialog", { "aria-labelledby": id, class: "panel" },
      el("h2", { id }, title), el("p", {}, text),
      el("div", { class: "actions" },
        button(words.cancel, () => dialog.close("no")),
        button(yes, () => dialog.close("yes"), { class: "danger" })));
    dialog.addEventListener("close", () => {
      dialog.remove();
      answer(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });

/** A button that puts a text into the clipboard; where a page may not, without TLS, it is marked to be copied by hand. */
export const copier = (text, source) => {
  const made = button(words.copy, async () => {
    try {
      await navigator.clipboard.writeText(text());
      made.textContent = words.copied;
      setTimeout(() => (made.textContent = words.copy), 2000);
    } catch {
      getSelection().selectAllChildren(source);
    }
  }, { class: "small" });
  return made;
};

/** Load something into a place: says that it loads, then shows it, or what went wrong. */
export const load = async (place, fetched, made) => {
  try {
    const found = await fetched();
    show(place, made(found));
    return found;
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    failed(place, error);
    return undefined;
  }
};

export const failed = (place, error) => {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) return;
  show(place, el("div", { class: "notice bad", role: "alert" }, error.told));
};

export const loading = () => el("p", { class: "loading" }, words.loading);

/** Room for something that is on its way, in a live region or not. */
export const room = (attributes = {}) => el("div", attributes, loading());

export const named = (text, more) => [text, unseen(` ${more}`)];
