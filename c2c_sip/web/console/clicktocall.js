/* One click-to-call: try it out, change it, put its button into a page, delete it. */

import { el } from "./dom.js";
import { Problem, ask, get, own } from "./api.js";
import { alarm, button, confirm, heading, notice, panel } from "./parts.js";
import { editor } from "./editor.js";
import { snippet } from "./snippet.js";
import { tryOut } from "./tryout.js";
import { words } from "./words.js";

const said = words.clicktocall;

const blank = (main, visit) => {
  main.append(heading(words.clicktocalls.make),
    el("div", { class: "panel" }, editor("", null, visit, (answer) => {
      location.hash = `#/clicktocalls/${answer.data.id}?made`;
    })));
};

export const clicktocall = async (main, visit) => {
  const [id] = visit.parameters;
  if (id === "new") {
    blank(main, visit);
    return;
  }
  const answer = await get(own(`/clicktocall/${id}`), {}, visit.signal);
  let definition = answer.data;
  const title = heading(definition.name, el("a", { class: "button", href: `#/history?clicktocall=${id}` }, said.calls));
  const told = notice();
  const wrong = alarm();
  const public_ = el("div");
  const isPrivate = () => definition.auth_required === true;
  let drawn;
  const drawButton = () => {
    if (drawn === isPrivate()) return;
    drawn = isPrivate();
    public_.replaceChildren(isPrivate() ? el("p", { class: "soft" }, said.buttonPrivate) : snippet(id));
  };
  const remove = async () => {
    if (!(await confirm(said.removeTitle, said.removeTold(definition.name), said.remove))) return;
    try {
      await ask("DELETE", own(`/clicktocall/${id}`));
      visit.guard(undefined);
      location.hash = "#/clicktocalls";
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      wrong.say(error.told);
    }
  };
  if (visit.query.has("made")) told.say(said.made, "good");
  drawButton();
  main.append(title, told, wrong,
    el("div", { class: "columns" },
      el("div", { class: "stack" },
        panel(said.edit, editor(id, { document: definition, etag: answer.etag }, visit, (saved) => {
          definition = saved.data;
          main.querySelector("h1").textContent = definition.name;
          drawButton();
        }))),
      el("div", { class: "stack" },
        panel(said.tryOut, tryOut(id, () => definition, visit)),
        panel(said.button, public_),
        el("div", { class: "actions" }, button(said.remove, remove, { class: "danger" })))));
};
