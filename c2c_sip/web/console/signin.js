/* Signing in, by a user's password or by the account's API key. */

import { el } from "./dom.js";
import { Problem, ask, session } from "./api.js";
import { alarm, field, switcher } from "./parts.js";
import { words } from "./words.js";
import { sha1 } from "./digest.js";

const said = words.signIn;
const HOST = /^(?=.*\.)[a-z0-9.-]+$/i;

const byUser = async ({ username, password, account }) => {
  const credentials = sha1(`${username}:${password}`);
  const names = HOST.test(account) ? ["account_realm", "account_name"] : ["account_name"];
  for (const [index, name] of names.entries()) {
    try {
      return await ask("PUT", "user_auth", { data: { credentials, method: "sha", [name]: account } });
    } catch (error) {
      if (index === names.length - 1 || error.status !== 401) throw error;
    }
  }
};

const byKey = ({ key }) => ask("PUT", "api_auth", { data: { api_key: key } });

/** Put the form into a place; `done` is called once somebody is signed in. */
export const signIn = (place, told, done) => {
  const input = (attributes) => el("input", { required: true, ...attributes });
  const fields = {
    user: {
      username: field(said.username, input({ name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false" })),
      password: field(said.password, input({ name: "password", type: "password", autocomplete: "current-password" })),
      account: field(said.account, input({ name: "account", autocomplete: "organization", spellcheck: "false" }), said.accountHint),
    },
    key: {
      key: field(said.apiKey, input({ name: "key", type: "password", autocomplete: "off" }), said.apiKeyHint),
    },
  };
  let way = "user";
  const inputs = el("div", { class: "stack" });
  const wrong = alarm();
  const send = el("button", { class: "main" }, said.button);
  const pick = (chosen) => {
    way = chosen;
    wrong.say("");
    inputs.replaceChildren(...Object.values(fields[way]));
  };
  const submit = async (event) => {
    event.preventDefault();
    wrong.say("");
    let first;
    for (const each of Object.values(fields[way])) {
      const missing = !each.control.value.trim();
      each.say(missing ? said.missing : "");
      if (missing) first ??= each.control;
    }
    if (first) {
      first.focus();
      return;
    }
    if (send.getAttribute("aria-disabled")) return;
    send.setAttribute("aria-disabled", "true");
    send.textContent = said.busy;
    const given = Object.fromEntries(Object.entries(fields[way]).map(([name, { control }]) =>
      [name, name === "password" ? control.value : control.value.trim()]));
    try {
      const answer = await (way === "user" ? byUser(given) : byKey(given));
      session.begin(answer.auth_token, answer.data.account_id, answer.data.account_name);
      place.replaceChildren();
      done();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const refused = error.status === 401 || (error.status === 400 && way === "key");
      wrong.say(refused ? (way === "user" ? said.wrong : said.wrongKey) : error.told);
    }
    send.removeAttribute("aria-disabled");
    send.textContent = said.button;
  };
  pick(way);
  place.replaceChildren(
    el("main", { class: "lone" },
      el("div", { class: "brand" }, el("span", { class: "mark", "aria-hidden": "true" }), words.title),
      told ? el("p", { class: "notice", role: "status" }, told) : null,
      el("form", { class: "panel stack", novalidate: true, submit },
        el("h1", {}, said.title),
        switcher(said.how, { user: said.user, key: said.key }, way, pick),
        inputs, wrong, send)));
  fields.user.username.control.focus();
};
