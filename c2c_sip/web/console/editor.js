/* Editing a click-to-call: as a form or as JSON, and what is to be done when somebody else has edited it too.

   Only what was changed is sent, as a patch with If-Match, so that no field that is not on the page is ever lost, and no
   other editor's change is overwritten without having been seen. */

import { el } from "./dom.js";
import { Problem, ask, own } from "./api.js";
import { alarm, button, field, notice, switcher, table } from "./parts.js";
import { documentForm } from "./form.js";
import { diff, isObject, patched, pathsOf, same, valueAt } from "./patch.js";
import { words } from "./words.js";

const said = words.clicktocall;
const READ_ONLY = ["id", "history_items", "revision"];

const editable = (document) => Object.fromEntries(Object.entries(document).filter(([name]) => !READ_ONLY.includes(name)));

const shown = (value) => (value === undefined || value === null ? said.absentValue : typeof value === "string" ? value : JSON.stringify(value));

class NotJson extends Error {}

/** The editor as an element. `loaded` is {document, etag}, or null for a new one; `saved` is told of the answer. */
export const editor = (id, loaded, visit, saved) => {
  let base = loaded ? editable(loaded.document) : {};
  let etag = loaded?.etag;
  let draft = base;
  let way = "form";
  const form = documentForm(!loaded);
  const json = el("textarea", { rows: 22, class: "code", spellcheck: "false" });
  const jsonField = field(said.jsonLabel, json, said.jsonHint);
  const body = el("div", { class: "groups" });
  const wrong = alarm();
  const told = notice();
  const conflict = el("div");
  const save = el("button", { class: "main" }, loaded ? said.save : said.create);

  const take = () => {
    if (way === "form") return form.read(draft);
    let found;
    try {
      found = JSON.parse(json.value);
    } catch (error) {
      throw new NotJson(said.jsonWrong(error.message));
    }
    if (!isObject(found)) throw new NotJson(said.jsonObject);
    return found;
  };
  const put = () => {
    form.write(draft);
    json.value = JSON.stringify(draft, null, 2);
    body.replaceChildren(...(way === "form" ? form.groups : [jsonField]));
  };
  /** Take what was typed; whether it can be read. */
  const typed = () => {
    jsonField.say("");
    try {
      draft = take();
      return true;
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      jsonField.say(error.message);
      json.focus();
      return false;
    }
  };
  const ways = switcher(said.how, { form: said.form, json: said.json }, way, (chosen) => {
    if (chosen === way) return true;
    if (!typed()) return false;
    way = chosen;
    put();
    return true;
  });
  const complain = (errors) => {
    const { left, first } = way === "form" ? form.complain(errors) : { left: Object.entries(errors).map(([path, rules]) =>
      [path, Object.values(rules ?? {}).map((rule) => rule?.message ?? "").join("; ")]) };
    wrong.say([said.wrong, left.length ? el("ul", {}, left.map(([path, text]) => el("li", {}, said.elsewhere(path, text)))) : null].filter(Boolean));
    (first ?? (way === "json" ? json : save)).focus();
  };
  const accept = (answer) => {
    base = editable(answer.data);
    etag = answer.etag;
    draft = base;
    form.complain({});
    put();
  };
  const collide = async () => {
    const theirs = await ask("GET", own(`/clicktocall/${id}`));
    const now = editable(theirs.data);
    const mine = diff(base, draft), other = diff(base, now);
    const paths = [...new Set(pathsOf(other))];
    const done = (next, text) => {
      base = now;
      etag = theirs.etag;
      draft = next;
      put();
      conflict.replaceChildren();
      told.say(text);
      save.focus();
    };
    const keep = button(said.keepMine, () => typed() && done(patched(now, diff(base, draft)), said.rebased), { class: "main" });
    conflict.replaceChildren(el("div", { class: "notice warn stack", role: "alert" },
      el("strong", {}, said.conflict), el("p", {}, said.conflictTold),
      table(said.conflictTable, [
        [said.field, (path) => el("code", {}, path)],
        [said.was, (path) => shown(valueAt(base, path))],
        [said.theirs, (path) => shown(valueAt(now, path))],
        [said.mine, (path) => (same(valueAt(draft, path), valueAt(base, path)) ? words.none : shown(valueAt(draft, path)))],
      ], paths.length ? paths : pathsOf(mine)),
      el("div", { class: "actions" }, keep, button(said.takeTheirs, () => done(now, said.dropped)))));
    keep.focus();
  };
  const submit = async (event) => {
    event.preventDefault();
    wrong.say("");
    told.say("");
    conflict.replaceChildren();
    if (!typed() || save.getAttribute("aria-disabled")) return;
    const patch = diff(base, draft);
    if (loaded && !Object.keys(patch).length) {
      told.say(said.unchanged);
      return;
    }
    save.setAttribute("aria-disabled", "true");
    save.textContent = said.saving;
    try {
      const answer = loaded
        ? await ask("PATCH", own(`/clicktocall/${id}`), { data: patch, headers: { "If-Match": etag } })
        : await ask("PUT", own("/clicktocall"), { data: draft });
      if (loaded) accept(answer);
      else visit.guard(undefined);
      told.say(said.saved, "good");
      saved(answer);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 400 && isObject(error.data)) complain(error.data);
      else if (error.status === 412) await collide();
      else wrong.say(error.told);
    } finally {
      save.removeAttribute("aria-disabled");
      save.textContent = loaded ? said.save : said.create;
    }
  };
  put();
  visit.guard(() => {
    try {
      return Object.keys(diff(base, take())).length > 0;
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      return true;
    }
  });
  return el("form", { class: "stack", novalidate: true, submit }, ways, body, conflict, wrong, told,
    el("div", { class: "actions end" }, save));
};
