/* The button of a click-to-call: its HTML to copy, and the button itself as it will look. */

import { el } from "./dom.js";
import { session } from "./api.js";
import { choice, copier, field } from "./parts.js";
import { words } from "./words.js";

const said = words.clicktocall;
const SCRIPT = new URL("button.js", document.baseURI).href;
/* Where the browser asks who made the address of a script, it is this, and no other address is made. */
const trusted = globalThis.trustedTypes?.createPolicy("c2c-button", { createScriptURL: () => SCRIPT });

const escaped = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");

export const snippet = (id) => {
  const language = field(said.language, choice(said.languages));
  const label = field(said.label, el("input", { maxlength: 80, autocomplete: "off" }));
  const text = field(said.words, el("input", { maxlength: 80, autocomplete: "off" }));
  const code = el("code");
  const preview = el("div", { class: "preview" });
  const given = () => ({
    account: session.current?.account ?? "", id, lang: language.control.value, label: label.control.value.trim(), call: text.control.value.trim(),
  });
  const html = () => {
    const told = Object.entries(given()).filter(([, value]) => value).map(([name, value]) => ` data-${name}="${escaped(value)}"`).join("");
    return `<script src="${SCRIPT}"${told} async></script>\n<noscript><a href="${SCRIPT.replace(/\.js$/, "")}/${given().account}/${id}">${escaped(given().call || said.callMe)}</a></noscript>`;
  };
  const draw = () => {
    code.textContent = html();
    const script = document.createElement("script");
    for (const [name, value] of Object.entries(given())) if (value) script.dataset[name] = value;
    script.src = trusted ? trusted.createScriptURL("") : SCRIPT;
    preview.replaceChildren(script);
  };
  let soon;
  const later = () => {
    code.textContent = html();
    clearTimeout(soon);
    soon = setTimeout(draw, 400);
  };
  for (const each of [language, label, text]) each.control.addEventListener("input", later);
  draw();
  const block = el("pre", { class: "code", tabindex: 0, role: "region", "aria-label": said.snippet }, code);
  return el("div", { class: "stack" },
    el("p", { class: "soft" }, said.buttonTold),
    el("div", { class: "fields" }, language, label, text),
    el("div", { class: "line" }, el("h3", {}, said.snippet), copier(html, code)), block,
    el("h3", {}, said.preview), el("p", { class: "soft" }, said.previewTold), preview);
};
