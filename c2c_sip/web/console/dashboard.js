/* What goes on now, and what went on today. */

import { el, show } from "./dom.js";
import { Problem, all, ask, get, own, part } from "./api.js";
import { badge, button, empty, failed, heading, moment, notice, panel, result, room, why } from "./parts.js";
import { hours } from "./chart.js";
import { words } from "./words.js";

const said = words.dashboard;
const MOST = 5000;
const FAILURES = 6;

const midnight = () => new Date().setHours(0, 0, 0, 0) / 1000;

/** What becomes of the newest rows: those that were known, with the new ones in their places. */
export const merged = (known, newest, since) => {
  const rows = new Map(known.map((row) => [row.id, row]));
  for (const row of newest) rows.set(row.id, row);
  return [...rows.values()].filter((row) => row.unix_timestamp >= since).sort((a, b) => b.unix_timestamp - a.unix_timestamp);
};

const isOver = (row) => row.state === "ended";

const figures = (rows) => {
  const over = rows.filter(isOver);
  const connected = rows.filter((row) => row.result === "success");
  const failed = over.filter((row) => row.result !== "success").length;
  const known = connected.length + failed;
  const talked = connected.reduce((sum, row) => sum + row.billing_seconds, 0);
  const figure = (name, value, more) =>
    el("div", { class: "figure" }, el("dt", {}, name), el("dd", {}, el("strong", {}, value), more ? el("small", {}, more) : null));
  return el("dl", { class: "figures" },
    figure(said.calls, String(rows.length)),
    figure(said.connected, String(connected.length), known ? said.answered(Math.round((100 * connected.length) / known)) : null),
    figure(said.notConnected, String(failed)),
    figure(said.talked, words.seconds(talked)));
};

const byHour = (rows) => {
  const bars = Array.from({ length: 24 }, (_, hour) => ({ hour, good: 0, bad: 0 }));
  for (const row of rows) {
    const bar = bars[new Date(row.unix_timestamp * 1000).getHours()];
    if (row.result === "success") bar.good++;
    else if (isOver(row)) bar.bad++;
  }
  return bars;
};

const legend = () =>
  el("p", { class: "legend" }, el("span", { class: "good" }, said.connected), el("span", { class: "bad" }, said.notConnected));

/** The live calls, with both legs of each together. */
const calls = (channels) => {
  const found = new Map();
  for (const leg of channels) {
    const legs = found.get(leg.activation_id) ?? [];
    legs.push(leg);
    found.set(leg.activation_id, legs);
  }
  return [...found.values()].map((legs) => ({
    legs,
    id: legs[0].activation_id,
    state: legs[0].state,
    elapsed: Math.max(...legs.map((leg) => leg.elapsed_s)),
    contact: legs.find((leg) => leg.role === "contact")?.to ?? legs[0].to,
  }));
};

const plain = (uri) => uri.replace(/^sips?:/, "");

const live = (channels, changed, told) => {
  const found = calls(channels);
  if (!found.length) return empty(said.noLive);
  const hangUp = async (call) => {
    try {
      await ask("POST", own(`/channels/${part(call.legs[0].call_id)}`), { data: { action: "hangup" } });
      told.say(said.hungUp, "good");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      told.say(error.status === 404 ? said.wasOver : error.told, "bad");
    }
    await changed();
  };
  return el("ul", { class: "calls" }, found.map((call) =>
    el("li", {},
      el("div", { class: "who" },
        call.legs.map((leg) => el("span", {}, el("small", {}, words.roles[leg.role] ?? leg.role), " ", plain(leg.to)))),
      badge(call.state === "connected" ? "good" : "live", words.states[call.state] ?? call.state),
      el("span", { class: "number" }, words.seconds(call.elapsed)),
      el("a", { class: "button small", href: `#/history/${call.id}` }, said.open),
      button(said.hangUp, () => hangUp(call), { class: "small danger", "aria-label": said.hangUpOf(plain(call.contact)) }))));
};

const trunks = (found) =>
  found.length
    ? el("ul", { class: "trunks" }, found.map((trunk) => {
      const kind = { registered: "good", static: "good", registering: "live", failed: "bad" }[trunk.state] ?? "warn";
      const wrong = trunk.explanation || (trunk.last_error ? words.caused(trunk.last_error.reason, trunk.last_error.status) : "");
      return el("li", {},
        el("div", { class: "line" }, el("strong", {}, trunk.name), badge(kind, said.trunk[trunk.state] ?? trunk.state),
          el("span", { class: "number" }, said.onTrunk(trunk.calls ?? 0))),
        el("div", { class: "soft" }, [trunk.domain === trunk.server ? null : trunk.domain, trunk.server ? said.trunkAt(trunk.server, trunk.transport) : null].filter(Boolean).join(" · ")),
        wrong ? el("p", { class: "why" }, wrong) : null);
    }))
    : empty(said.noTrunks);

const failures = (found) =>
  found.length
    ? el("ul", { class: "list" }, found.map((item) =>
      el("li", {},
        el("a", { class: "line", href: `#/history/${item.id}` },
          el("strong", {}, item.contact), result(item), el("span", { class: "when" }, moment(item.unix_timestamp))),
        el("p", { class: "why" }, why(item)))))
    : empty(said.noFailures);

export const dashboard = async (main, { signal, every }) => {
  const places = { today: room(), live: room(), chart: room(), failures: room(), trunks: room() };
  const told = notice();
  const trunkPanel = panel(said.trunks, places.trunks);
  trunkPanel.hidden = true;
  main.append(heading(words.pages.dashboard), told,
    el("div", { class: "columns" },
      el("div", { class: "stack" },
        panel(said.live, places.live),
        panel(said.today, places.today, places.chart),
      ),
      el("div", { class: "stack" },
        trunkPanel,
        panel(said.failures, places.failures,
          el("p", { class: "more" }, el("a", { href: "#/history?result=error" }, said.allFailures))))));

  let rows = [], since = midnight(), drawn = "";
  const showToday = (more) => {
    show(places.today, figures(rows), more ? el("p", { class: "soft" }, said.some(rows.length)) : null);
    const bars = byHour(rows);
    if (JSON.stringify(bars) === drawn) return;
    drawn = JSON.stringify(bars);
    const connected = bars.reduce((sum, bar) => sum + bar.good, 0);
    const total = connected + bars.reduce((sum, bar) => sum + bar.bad, 0);
    if (rows.length) places.chart.replaceChildren(hours(bars, said.chartTold(total, connected)), legend());
    else places.chart.replaceChildren(empty(said.noCalls, el("a", { class: "button", href: "#/clicktocalls" }, said.first)));
  };
  const loadToday = async () => {
    const found = await all(own("/history"), { created_from: Math.floor(since) }, signal, MOST);
    rows = found.rows;
    showToday(found.more);
  };
  const refreshToday = async () => {
    if (midnight() !== since) {
      since = midnight();
      await loadToday();
      return;
    }
    const page = await get(own("/history"), { created_from: Math.floor(since), page_size: 100 }, signal);
    rows = merged(rows, page.data, Math.floor(since));
    showToday(false);
  };
  const loadLive = async () => {
    const found = await get(own("/channels"), { paginate: "false" }, signal);
    show(places.live, live(found.data, loadLive, told));
  };
  const loadFailures = async () => {
    const page = await get(own("/history"), { filter_result: "error", page_size: FAILURES }, signal);
    show(places.failures, failures(page.data));
  };
  const loadTrunks = async () => {
    try {
      const found = await get("trunks", {}, signal);
      trunkPanel.hidden = false;
      show(places.trunks, trunks(found.data));
    } catch (error) {
      // Only those who run the service see its trunks.
      if (!(error instanceof Problem) || ![403, 404].includes(error.status)) throw error;
      return false;
    }
  };
  const begin = async (place, work) => {
    try {
      return await work();
    } catch (error) {
      if (!signal.aborted) failed(place, error);
    }
  };
  begin(places.today, loadToday).then(() => every(10000, refreshToday));
  begin(places.live, loadLive).then(() => every(2000, loadLive));
  begin(places.failures, loadFailures).then(() => every(10000, loadFailures));
  begin(places.trunks, loadTrunks).then((seen) => seen !== false && every(5000, loadTrunks));
};
