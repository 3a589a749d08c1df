/* What was called: searched, filtered, page by page, and as a table to take away. What is looked for stands in the
   address, so that it can be kept and gone back to. */

import { el, show } from "./dom.js";
import { Problem, all, get, own, save } from "./api.js";
import { alarm, button, choice, empty, failed, field, heading, moment, result, room, table, why } from "./parts.js";
import { words } from "./words.js";

const said = words.history;
const PAGE = 50;

/** The day's first second, or its last, as the person sees it. */
const edge = (day, isEnd) => {
  const [year, month, date] = day.split("-").map(Number);
  if (!date) return undefined;
  return Math.floor(new Date(year, month - 1, date + (isEnd ? 1 : 0)).getTime() / 1000) - (isEnd ? 1 : 0);
};

const asked = (query) => ({
  search: query.get("search"),
  filter_result: query.get("result"),
  filter_cause: query.get("cause"),
  filter_clicktocall_id: query.get("clicktocall"),
  created_from: edge(query.get("from") ?? "", false),
  created_to: edge(query.get("to") ?? "", true),
});

const form = (query, definitions) => {
  const pick = (name, none, options) => {
    const value = query.get(name) ?? "";
    const known = { "": none, ...options };
    if (!(value in known)) known[value] = value;
    return choice(known, { name, value });
  };
  const day = (name) => el("input", { type: "date", name, value: query.get(name) ?? "" });
  const causes = Object.fromEntries(Object.entries(words.causes).map(([cause, text]) => [cause, text.replace(/\.$/, "")]));
  const submit = (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams();
    for (const [name, value] of new FormData(event.target)) if (value.trim()) wanted.set(name, value.trim());
    const next = `#/history${String(wanted) && `?${wanted}`}`;
    if (next === location.hash) dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = next;
  };
  const narrow = ["result", "cause", "clicktocall", "from", "to"].some((name) => query.get(name));
  return el("form", { class: "panel filters", role: "search", submit },
    el("div", { class: "inline" },
      field(said.search, el("input", { type: "search", name: "search", maxlength: 256, autocomplete: "off", placeholder: said.searchHint, value: query.get("search") ?? "" })),
      el("button", { class: "main" }, said.apply)),
    el("details", { open: narrow }, el("summary", {}, said.filters),
      el("div", { class: "fields" },
        field(said.result, pick("result", said.anyResult, { success: words.results.success, error: words.results.error })),
        field(said.cause, pick("cause", said.anyCause, causes)),
        field(said.of, pick("clicktocall", said.anyOf, Object.fromEntries(definitions.map((each) => [each.id, each.name])))),
        field(said.from, day("from")), field(said.to, day("to")))));
};

const columns = [
  [said.when, (item) => el("a", { class: "strong", href: `#/history/${item.id}` }, moment(item.unix_timestamp)), "when"],
  [said.contact, (item) => item.contact, "contact"],
  [said.of, (item) => item.clicktocall_name],
  [said.how, result],
  [said.why, why, "why"],
  [said.length, (item) => (item.result === "success" ? words.seconds(item.billing_seconds) : null), "number"],
];

export const history = async (main, { signal, query }) => {
  const wrong = alarm();
  const place = room();
  const below = el("div", { class: "actions" });
  const wanted = asked(query);
  const isNarrow = [...query.keys()].length > 0;
  const csv = button(said.csv, async () => {
    wrong.say("");
    try {
      await save(own("/history"), "history.csv", { query: wanted, headers: { Accept: "text/csv" }, signal });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      wrong.say(error.told);
    }
  });
  const filters = el("div");
  main.append(heading(words.pages.history, csv), filters, wrong, place, below);
  const rows = [];
  const more = async (start) => {
    let page;
    try {
      page = await get(own("/history"), { ...wanted, page_size: PAGE, start_key: start }, signal);
    } catch (error) {
      if (error.name !== "AbortError") failed(place, error);
      return;
    }
    rows.push(...page.data);
    csv.hidden = !rows.length;
    if (!rows.length) {
      show(place, isNarrow ? empty(said.noneFound, el("a", { class: "button", href: "#/history" }, said.clear))
        : empty(said.none, el("a", { class: "button", href: "#/clicktocalls" }, words.pages.clicktocalls)));
      return;
    }
    show(place, table(said.table, columns, rows));
    const next = page.next_start_key;
    show(below, el("p", { class: "soft", role: "status" }, said.shown(rows.length, Boolean(next))),
      next ? button(words.more, () => more(next)) : null,
      isNarrow ? el("a", { class: "button", href: "#/history" }, said.clear) : null);
  };
  const definitions = async () => {
    const found = await all(own("/clicktocall"), {}, signal);
    return found.rows;
  };
  await Promise.all([
    more(),
    definitions().then((found) => filters.append(form(query, found))),
  ]);
};
