/* Trying a click-to-call out: it is activated for real, and its states are shown as they come. */

import { el, show } from "./dom.js";
import { Problem, ask, get, own, part } from "./api.js";
import { alarm, button, field, result, why } from "./parts.js";
import { words } from "./words.js";

const said = words.clicktocall;
const ORDERS = {
  extension: ["initiated", "extension_ringing", "extension_answered", "contact_ringing", "connected"],
  contact: ["initiated", "contact_ringing", "contact_answered", "extension_ringing", "connected"],
};

/** How far an item is, as steps; those that it has been seen in are done. */
export const steps = (item, seen, first = "extension") => {
  const order = ORDERS[first] ?? ORDERS.extension;
  const reached = item.state === "ended"
    ? Math.max(...order.map((state, index) => (seen.has(state) ? index : 0)), item.result === "success" ? order.length - 1 : 0)
    : order.indexOf(item.state);
  const over = item.state === "ended";
  return el("ol", { class: "steps" }, order.map((state, index) => {
    const kind = index < reached || (index === reached && (over || state === "connected")) ? "done" : index === reached ? "now" : "";
    return el("li", { class: kind, "aria-current": kind === "now" ? "step" : null }, words.states[state]);
  }));
};

/** Hang up whatever an activation has up; false where nothing is. */
export const hangUp = async (activation) => {
  const { data } = await get(own("/channels"), { filter_activation_id: activation });
  const [leg] = data;
  if (!leg) return false;
  await ask("POST", own(`/channels/${part(leg.call_id)}`), { data: { action: "hangup" } });
  return true;
};

export const tryOut = (id, definition, { signal, every }) => {
  const contact = field(said.contact, el("input", { name: "contact", type: "tel", autocomplete: "tel", spellcheck: "false", maxlength: 256 }), said.contactHint);
  const call = el("button", { class: "main" }, said.call);
  const wrong = alarm();
  const progress = el("div", { class: "stack", role: "status" });
  const after = el("div", { class: "actions" });
  const draw = (item, seen) => {
    show(progress, steps(item, seen, definition().dial_first),
      item.state === "ended" ? el("p", {}, result(item), " ", why(item)) : null);
    show(after,
      el("a", { class: "button small", href: `#/history/${item.id}` }, said.openCall),
      item.state === "ended" ? null : button(said.hangUp, async () => {
        try {
          await hangUp(item.id);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          if (error.status !== 404) wrong.say(error.told);
        }
      }, { class: "small danger" }));
  };
  const follow = (first) => {
    const seen = new Set([first.state]);
    draw(first, seen);
    call.setAttribute("aria-disabled", "true");
    call.textContent = said.calling;
    every(500, async () => {
      const { data: item } = await get(own(`/history/${first.id}`), {}, signal);
      seen.add(item.state);
      draw(item, seen);
      if (item.state !== "ended") return true;
      call.removeAttribute("aria-disabled");
      call.textContent = said.call;
      return false;
    });
  };
  const submit = async (event) => {
    event.preventDefault();
    if (call.getAttribute("aria-disabled")) return;
    wrong.say("");
    contact.say("");
    call.setAttribute("aria-disabled", "true");
    try {
      const { data } = await ask("POST", own(`/clicktocall/${id}/connect`), { data: { contact: contact.control.value } });
      follow(data);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      call.removeAttribute("aria-disabled");
      const rules = error.status === 400 ? Object.values(error.data ?? {})[0] : null;
      const text = rules && typeof rules === "object" ? Object.values(rules).map((rule) => rule?.message).filter(Boolean).join("; ") : "";
      if (text) {
        contact.say(text);
        contact.control.focus();
      } else wrong.say(error.told);
    }
  };
  return el("form", { class: "stack", novalidate: true, submit },
    el("p", { class: "soft" }, said.tryOutTold), el("div", { class: "inline" }, contact, call), wrong, progress, after);
};
