/* The click-to-calls there are. */

import { el, show } from "./dom.js";
import { all, own } from "./api.js";
import { empty, field, heading, load, room, table } from "./parts.js";
import { words } from "./words.js";

const said = words.clicktocalls;

const extensions = (row) => [row.extension].flat().join(", ");

export const clicktocalls = async (main, { signal }) => {
  const make = el("a", { class: "button main", href: "#/clicktocalls/new" }, said.make);
  const find = el("input", { type: "search", autocomplete: "off" });
  const finder = field(said.find, find);
  finder.hidden = true;
  const place = room();
  main.append(heading(words.pages.clicktocalls, make), finder, place);
  let rows = [];
  const list = () => {
    const wanted = find.value.trim().toLowerCase();
    const found = rows.filter((row) => `${row.name}\n${extensions(row)}`.toLowerCase().includes(wanted));
    if (!rows.length) return empty(said.none, el("a", { class: "button", href: "#/clicktocalls/new" }, said.make));
    if (!found.length) return empty(said.noneFound);
    return table(words.pages.clicktocalls, [
      [said.name, (row) => el("a", { class: "strong", href: `#/clicktocalls/${row.id}` }, row.name)],
      [said.extension, extensions],
      [said.realm, (row) => row.realm],
    ], found);
  };
  find.addEventListener("input", () => show(place, list()));
  await load(place, () => all(own("/clicktocall"), {}, signal), (found) => {
    rows = found.rows;
    finder.hidden = rows.length < 5;
    return list();
  });
};
