/* The service's settings: what holds, and who has said so. */

import { el, show } from "./dom.js";
import { Problem, get } from "./api.js";
import { badge, empty, field, heading, panel, room, table } from "./parts.js";
import { words } from "./words.js";

const said = words.settings;

const text = (value) => {
  if (value === "" || value === null || value === undefined || (Array.isArray(value) && !value.length)) return el("span", { class: "soft" }, said.empty);
  return el("code", {}, typeof value === "string" ? value : JSON.stringify(value));
};

const origin = (row) => [
  badge(row.origin === "default" ? "" : "live", said.origins[row.origin] ?? row.origin),
  row.source && row.origin !== "default" ? el("small", { class: "soft" }, ` ${row.source}`) : null,
  row.reload ? el("small", { class: "soft", title: said.reloadTold }, ` ${said.reload}`) : null,
];

const value = (row) => [
  text(row.value),
  row.origin !== "default" && !row.secret ? el("div", { class: "soft" }, el("small", {}, said.default(typeof row.default === "string" ? row.default || said.empty : JSON.stringify(row.default)))) : null,
];

export const settings = async (main, { signal }) => {
  const find = el("input", { type: "search", autocomplete: "off" });
  const changed = el("input", { type: "checkbox" });
  const place = room();
  main.append(heading(words.pages.settings), el("p", { class: "soft" }, said.told));
  let rows;
  try {
    ({ data: rows } = await get("settings", { paginate: "false" }, signal));
  } catch (error) {
    if (!(error instanceof Problem) || ![403, 404].includes(error.status)) throw error;
    main.append(empty(said.forbidden));
    return;
  }
  main.append(el("div", { class: "inline" }, field(said.find, find), field(said.changed, changed)), place);
  const draw = () => {
    const wanted = find.value.trim().toLowerCase();
    const found = rows.filter((row) => row.name.toLowerCase().includes(wanted) && (!changed.checked || row.origin !== "default"));
    const sections = new Map();
    for (const row of found) {
      const section = row.name.replace(/\.[^.]*$/, "");
      sections.set(section, [...(sections.get(section) ?? []), row]);
    }
    show(place, found.length
      ? el("div", { class: "stack" }, [...sections].map(([section, members]) =>
        panel(section, table(section, [
          [said.name, (row) => el("code", {}, row.name.slice(section.length + 1) || row.name), "strong"],
          [said.value, value, "value"],
          [said.origin, origin],
        ], members, { class: "rows even" }))))
      : empty(said.noneFound));
  };
  find.addEventListener("input", draw);
  changed.addEventListener("change", draw);
  draw();
};
