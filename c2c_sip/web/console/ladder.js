/* The ladder of a call: who sent which SIP message to whom, in order; each can be opened and read. */

import { el, fresh } from "./dom.js";
import { copier } from "./parts.js";
import { words } from "./words.js";

const said = words.call;
const PLACES = ["extension", "contact", "transfer"];

/** Whose side a message is about: the leg, and the address that the other end has there. */
const peerOf = (message) => ({
  role: message.role,
  leg: message.call_id,
  address: message.direction === "sent" ? message.destination : message.source,
});

/** The columns from left to right: the extension's legs, ours, the others'; each with all addresses that it had. */
export const columnsOf = (messages) => {
  const peers = new Map();
  for (const message of messages) {
    const { role, leg, address } = peerOf(message);
    const peer = peers.get(leg) ?? { role, addresses: new Set() };
    peer.addresses.add(address);
    peers.set(leg, peer);
  }
  const rank = ({ role }) => (PLACES.indexOf(role) + PLACES.length + 1) % (PLACES.length + 1);
  const sorted = [...peers.entries()].sort(([, a], [, b]) => rank(a) - rank(b));
  const left = sorted.filter(([, { role }]) => role === "extension"), right = sorted.filter(([, { role }]) => role !== "extension");
  const ours = messages.length ? (messages[0].direction === "sent" ? messages[0].source : messages[0].destination) : "";
  return [...left, ["", { role: "", addresses: new Set([ours]) }], ...right].map(([key, { role, addresses }]) =>
    ({ key, addresses: [...addresses], name: key ? words.roles[role] ?? role : said.us }));
};

const kindOf = (summary) => ({ 1: "middle", 2: "good" })[summary[0]] ?? (/^\d/.test(summary) ? "bad" : "request");

/** Which column to which: {from, to}, counted from 0. */
export const endsOf = (message, columns) => {
  const us = columns.findIndex(({ key }) => !key), there = columns.findIndex(({ key }) => key && key === message.call_id);
  return message.direction === "sent" ? { from: us, to: there } : { from: there, to: us };
};

export const ladder = (messages) => {
  const columns = columnsOf(messages);
  const start = messages[0].time;
  const head = el("div", { class: "heads", "aria-hidden": "true" }, el("span"), columns.map(({ name, addresses }) =>
    el("span", {}, el("strong", {}, name), addresses.map((address) => el("small", {}, address)))));
  const rows = messages.map((message) => {
    const { from, to } = endsOf(message, columns);
    const text = el("div", { class: "message", hidden: true, id: fresh("message") });
    const shaft = el("span", { class: to > from ? "shaft right" : "shaft left" }, el("span", {}, message.summary));
    shaft.style.setProperty("grid-column", `${Math.min(from, to) + 2} / ${Math.max(from, to) + 3}`);
    shaft.style.setProperty("--span", String(Math.abs(to - from) + 1));
    const open = () => {
      if (!text.firstChild) {
        const body = el("pre", { class: "code", tabindex: 0, role: "region", "aria-label": message.summary }, message.message.replace(/\r\n/g, "\n"));
        text.append(el("div", { class: "line" }, el("small", {}, said.sentBy(message)), copier(() => message.message, body)), body);
      }
      text.hidden = !text.hidden;
      button.setAttribute("aria-expanded", String(!text.hidden));
    };
    const button = el("button", {
      type: "button", class: `step ${kindOf(message.summary)}`, "aria-expanded": "false", "aria-controls": text.id, click: open,
      "aria-label": `${(message.time - start).toFixed(3)} s, ${message.summary}, ${said.message(columns[from]?.name, columns[to]?.name)}`,
    }, el("span", { class: "when" }, (message.time - start).toFixed(3)), columns.map((each, index) => {
      const life = el("span", { class: "life" });
      life.style.setProperty("grid-column", String(index + 2));
      return life;
    }), shaft);
    return el("li", {}, button, text);
  });
  const made = el("div", { class: "ladder" }, head, el("ol", {}, rows));
  made.style.setProperty("--columns", String(columns.length));
  return el("div", { class: "scroll", tabindex: columns.length > 4 ? 0 : null }, made);
};
