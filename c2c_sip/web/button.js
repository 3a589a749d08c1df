/* The call button. Where this script stands, a form appears that has its visitor called:

   <script src="https://calls.example.com/button.js" data-account="ACCOUNT" data-id="CLICK-TO-CALL" async></script>

   data-lang: en, de, fr or es instead of the page's language. data-label, data-call: other words for field and button.
   data-contact: a number that is called without asking. Each change is told of by the event "c2c-state", whose detail has
   the state. Looks: the page's font and colours, --c2c-accent, and ::part(label|number|button|status). */
(() => {
  "use strict";
  const { keys, languages, reasons, causes } = __WORDS__;
  const own = document.currentScript;
  const style = `form{display:flex;flex-wrap:wrap;gap:.5em;align-items:end;margin:0}
label{display:grid;gap:.25em}input,button{font:inherit;padding:.5em .75em;min-height:2.75em;box-sizing:border-box;
border-radius:.4em;border:1px solid currentcolor}button{background:var(--c2c-accent,#0b57d0);color:#fff;cursor:pointer;
border-color:transparent}button[aria-disabled=true]{cursor:default;filter:grayscale(1)}
:focus-visible{outline:3px solid var(--c2c-accent,#0b57d0);outline-offset:2px}p{flex-basis:100%;margin:0;min-height:1.5em}`;

  const element = (name, attributes, ...inside) => {
    const made = document.createElement(name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    made.append(...inside);
    return made;
  };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  /* SHA-256 of a short ASCII text, its first 32 bits: crypto.subtle is not there in pages without TLS. */
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x) => ((x - Math.floor(x)) * 4294967296) | 0;
  const K = primes.map((p) => fraction(Math.cbrt(p)));
  const H = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const W = new Int32Array(64);
  const head = (text) => {
    let state = H;
    const length = text.length, blocks = (length + 72) >> 6;
    for (let block = 0; block < blocks; block++) {
      for (let i = 0; i < 16; i++) {
        let word = 0;
        for (let j = 0; j < 4; j++) {
          const at = block * 64 + i * 4 + j;
          word = (word << 8) | (at < length ? text.charCodeAt(at) : at === length ? 128 : 0);
        }
        W[i] = word;
      }
      if (block === blocks - 1) W[15] = length * 8;
      const turn = (x, n) => (x >>> n) | (x << (32 - n));
      for (let i = 16; i < 64; i++) {
        const a = W[i - 15], b = W[i - 2];
        W[i] = (W[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + W[i - 7] +
          (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10))) | 0;
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i++) {
        const t = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
        const u = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
      }
      state = [a, b, c, d, e, f, g, h].map((x, i) => (x + state[i]) | 0);
    }
    return state[0] >>> 0;
  };
  const solve = async ({ challenge, bits, contact }) => {
    // What is not ASCII is hashed as UTF-8.
    const start = unescape(encodeURIComponent(`${challenge}:${contact}:`));
    for (let number = 0; ; number++) {
      if (head(start + number) >>> (32 - bits) === 0) return `${challenge}.${number}`;
      if (number % 4096 === 4095) await pause(0); // the page stays alive
    }
  };

  const place = (script) => {
    const { account, id, lang, label, call, contact } = script.dataset;
    const wanted = lang || script.closest("[lang]")?.lang || navigator.language || "en";
    const short = wanted.slice(0, 2).toLowerCase();
    const language = languages[short] ? short : "en";
    const words = Object.fromEntries(keys.map((key, i) => [key, languages[language][i]]));
    const base = new URL(`v1/accounts/${account}/clicktocall/${id}/connect`, script.src);
    const number = element("input", { type: "tel", name: "contact", autocomplete: "tel", inputmode: "tel", required: "",
      maxlength: 256, "aria-describedby": "status", part: "number" });
    const button = element("button", { part: "button" }, call || words.call);
    const status = element("p", { id: "status", role: "status", part: "status" });
    const form = element("form", { novalidate: "" },
      ...(contact ? [] : [element("label", { part: "label" }, label || words.label, number)]), button, status);
    const host = element("div", { lang: language, class: "c2c-button" });
    const root = host.attachShadow({ mode: "open" });
    try { // which a page's content security policy does not forbid
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(style);
      root.adoptedStyleSheets = [sheet];
    } catch {
      root.append(element("style", {}, style));
    }
    root.append(form);
    script.after(host);

    const say = (state, text) => {
      if (text !== undefined && status.textContent !== text) status.textContent = text;
      host.dispatchEvent(new CustomEvent("c2c-state", { detail: state, bubbles: true }));
    };
    const ask = async (path, fields) => {
      const answer = await fetch(base + path, fields && { method: "POST", body: new URLSearchParams(fields) });
      const told = await answer.json().catch(() => ({}));
      return { status: answer.status, data: told.data || {}, error: told.message };
    };
    const refused = (status, data, error) => {
      if (status === 401 || status === 404 || status === 405) return words.absent;
      const detail = Object.values(Object.values(data)[0] || {})[0] || {};
      const reason = data.reason || detail.reason || (status === 429 ? "too_many_requests" : error);
      if (reason === "hours") return data.message;
      return words[reasons[reason] || (status === 400 ? "refused" : "down")];
    };
    const activate = async (fields) => {
      const first = await ask("", fields);
      const work = first.data.proof && Object.values(first.data.proof)[0].cause;
      if (first.status !== 400 || !work?.challenge) return first;
      return ask("", { ...fields, proof: await solve(work) });
    };
    const follow = async (activation) => {
      let wait = 1000, seen = activation.state, failures = 0;
      say(seen, words[seen]);
      while (seen !== "ended") {
        await pause(wait);
        wait = Math.min(wait * 1.5, 10000);
        const { status, data } = await ask(`/${activation.id}`).catch(() => ({}));
        if (status !== 200) {
          if (++failures > 8) throw new Error("no state");
          continue;
        }
        failures = 0;
        if (data.state === seen) continue;
        [wait, seen] = [1000, data.state];
        say(seen, words[seen === "ended" && data.result !== "success" ? causes[data.cause] || "failed" : seen]);
      }
    };
    let busy = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (busy) return;
      const given = contact || number.value.trim();
      number.setAttribute("aria-invalid", !given);
      if (!given) {
        say("refused", words.number);
        number.focus();
        return;
      }
      busy = true;
      button.setAttribute("aria-disabled", true);
      try {
        say("asked", words.initiated);
        const { status, data, error } = await activate({ contact: given });
        if (status === 200 || status === 202) await follow(data);
        else {
          number.setAttribute("aria-invalid", status === 400);
          say("refused", refused(status, data, error));
        }
      } catch {
        say("lost", words.offline);
      }
      busy = false;
      button.removeAttribute("aria-disabled");
    });
  };

  if (own?.dataset.id) place(own);
  else for (const script of document.querySelectorAll("script[data-account][data-id]")) place(script);
})();
