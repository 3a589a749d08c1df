/* The form of a click-to-call: which field is which control, and what stands in a document for it. */

import { el } from "./dom.js";
import { choice, field } from "./parts.js";
import { valueAt, withValue } from "./patch.js";
import { words } from "./words.js";

const text = (attributes = {}) => ({
  make: () => el("input", { autocomplete: "off", ...attributes }),
  read: (control) => control.value.trim() || undefined,
  write: (control, value) => (control.value = value ?? ""),
});
const number = () => ({
  ...text({ inputmode: "numeric" }),
  // What is no number is sent as it is: the API says what it wants.
  read: ({ value }) => (/^\s*\d+\s*$/.test(value) ? Number(value) : value.trim() || undefined),
});
const flag = () => ({
  make: () => el("input", { type: "checkbox" }),
  read: (control, before) => (control.checked ? true : before === undefined ? undefined : false),
  write: (control, value) => (control.checked = value === true),
});
const lines = (rows) => ({
  make: () => el("textarea", { rows, spellcheck: "false", class: "code" }),
  read: ({ value }) => {
    const found = value.split("\n").map((line) => line.trim()).filter(Boolean);
    return found.length ? found : undefined;
  },
  write: (control, value) => (control.value = [value ?? []].flat().join("\n")),
});
const oneOrMore = () => ({
  ...lines(2),
  read: (control) => {
    const found = lines().read(control);
    return found?.length === 1 ? found[0] : found;
  },
});
const spans = () => ({
  ...text(),
  read: ({ value }) => {
    const found = value.split(",").map((span) => span.trim()).filter(Boolean);
    return found.length ? found : undefined;
  },
  write: (control, value) => (control.value = [value ?? []].flat().join(", ")),
});
const oneOf = (name) => ({
  make: () => choice(words.choices[name]),
  read: (control) => control.value || undefined,
  write: (control, value) => {
    const known = value ?? "";
    if (![...control.options].some((option) => option.value === String(known)))
      control.append(el("option", { value: String(known) }, String(known)));
    control.value = String(known);
  },
});

const days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const zone = () => {
  const made = text({ list: "zones", spellcheck: "false" });
  return { ...made, make: () => {
    const list = el("datalist", { id: "zones" }, Intl.supportedValuesOf("timeZone").map((name) => el("option", { value: name })));
    const control = made.make();
    control.after_ = list;
    return control;
  } };
};

/** The groups, and how each field is shown. Those that are null where they are not set are left out of a document. */
const GROUPS = {
  basics: { name: text({ maxlength: 128, required: true }), extension: oneOrMore(), realm: text({ spellcheck: "false" }), dial_first: oneOf("dial_first"), timeout: number() },
  who: { auth_required: flag(), whitelist: lines(3), throttle: number(), challenge: oneOf("challenge"), "limits.per_address": number(), "limits.per_contact": number(), "limits.per_clicktocall": number() },
  shown: { outbound_callee_id_name: text(), outbound_callee_id_number: text(), caller_id_number: text(), "caller_id_options.outbound_privacy": oneOf("caller_id_options.outbound_privacy") },
  hours: { "hours.timezone": zone(), ...Object.fromEntries(days.map((day) => [`hours.${day}`, spans()])), "hours.message": text() },
  heard: { ringback: text(), "music_on_hold.media_id": text(), "media.ignore_early_media": flag(), confirm: oneOf("confirm"), announcement: text(), auto_answer: flag(), record: flag() },
};

/** The form's groups as elements; `read(document)` gives the document with what the form says, `write` the other way. */
export const documentForm = (isNew) => {
  const fields = new Map();
  const groups = Object.entries(GROUPS).map(([group, members], index) => {
    const inside = Object.entries(members).map(([path, kind]) => {
      const control = kind.make();
      control.name = path;
      const [label, hint] = words.fields[path];
      const made = field(label, control, hint);
      if (control.after_) made.append(control.after_);
      fields.set(path, { kind, control, say: made.say });
      return made;
    });
    return el("details", { class: "group", open: index === 0 || (isNew && group === "who") },
      el("summary", {}, words.groups[group]), el("div", { class: "fields" }, inside));
  });
  const same = (control, kind, value) => {
    // Whether the control says what the document says: then the document's own spelling stays.
    const other = kind.make();
    kind.write(other, value);
    return control.type === "checkbox" ? other.checked === control.checked : other.value === control.value;
  };
  return {
    groups,
    fields,
    write(document) {
      for (const [path, { kind, control }] of fields) kind.write(control, valueAt(document, path));
    },
    read(document) {
      let made = document;
      for (const [path, { kind, control }] of fields) {
        const before = valueAt(document, path);
        if (same(control, kind, before)) continue;
        made = withValue(made, path, kind.read(control, before));
      }
      return made;
    },
    /** Put what is wrong to the fields; gives what has no field here, and the first that has. */
    complain(errors) {
      for (const { say } of fields.values()) say("");
      const left = [];
      let first;
      for (const [path, rules] of Object.entries(errors)) {
        const told = Object.values(rules ?? {}).map((rule) => rule?.message ?? "").filter(Boolean).join("; ");
        const known = [...fields.keys()].filter((each) => path === each || path.startsWith(`${each}.`)).sort((a, b) => b.length - a.length)[0];
        if (!known) {
          left.push([path, told]);
          continue;
        }
        const { control, say } = fields.get(known);
        const cause = path === known ? "" : Object.values(rules)[0]?.cause;
        say(typeof cause === "string" && cause ? `${cause}: ${told}` : told);
        control.closest("details").open = true;
        if (!first || control.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING) first = control;
      }
      return { left, first };
    },
  };
};
