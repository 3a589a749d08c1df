/* One call: how it went and why, its legs, how it sounded, and every message of it. */

import { el, show } from "./dom.js";
import { Problem, fetchBlob, get, own, save } from "./api.js";
import { alarm, button, empty, facts, fullMoment, heading, panel, result, room, table, why } from "./parts.js";
import { gauge } from "./chart.js";
import { ladder } from "./ladder.js";
import { hangUp } from "./tryout.js";
import { words } from "./words.js";

const said = words.call;
const FILES = ["ladder.svg", "ladder.txt", "trace.json", "trace.pcap"];

const role = (leg) => words.roles[leg.role] ?? leg.role;
const plain = (uri) => uri.replace(/^sips?:/, "");

const length = (item, seconds) => (item.state === "ended" ? words.seconds(seconds) : words.none);

const times = (item, isGone) => facts([
  [said.of, isGone ? said.gone(item.clicktocall_name) : el("a", { href: `#/clicktocalls/${item.clicktocall_id}` }, item.clicktocall_name)],
  [said.began, fullMoment(item.unix_timestamp)],
  [said.rang, length(item, item.ringing_seconds)],
  [said.talked, length(item, item.billing_seconds)],
  [said.total, length(item, item.duration_seconds)],
], "wide");

const legs = (found) => found.length
  ? table(said.legs, [
    [said.leg, role, "strong"],
    [said.from, (leg) => plain(leg.from)],
    [said.to, (leg) => plain(leg.to)],
    [said.answered, (leg) => (leg.answered ? said.yes : said.no)],
    [said.rang, (leg) => (leg.cause ? words.seconds(leg.ringing_seconds) : words.none), "number"],
    [said.talked, (leg) => (leg.cause ? words.seconds(leg.billing_seconds) : words.none), "number"],
    [said.ended, (leg) => (leg.cause ? [words.causes[leg.cause] ?? leg.cause, el("small", { class: "soft detail" }, `${words.caused(leg.cause, leg.sip_status)}${leg.hangup_by ? `, ${said.endedBy[leg.hangup_by] ?? leg.hangup_by}` : ""}`)] : words.none), "why"],
  ], found)
  : empty(said.noLegs);

const scale = (value, bounds) => (value <= bounds[0] ? "good" : value <= bounds[1] ? "middle" : "bad");

const measure = (name, told, share, kind) =>
  el("div", { class: "measure" }, el("dt", {}, name), el("dd", {}, gauge(share, kind), el("span", {}, told)));

/** One direction of a leg: what is known of it, null where nothing is. */
const direction = (name, { mos, loss, jitter, trip, codec, packets }) => {
  if (!packets && loss === null && jitter === null) return null;
  const isSilent = [mos, loss, jitter, trip].every((value) => value === null);
  return el("div", { class: "direction" }, el("h3", {}, name),
    isSilent ? null : el("dl", {},
      mos === null ? null : measure(said.mos, `${mos.toFixed(1)}, ${said.mosTold(mos)}`, (mos - 1) / 3.5, mos >= 4 ? "good" : mos >= 3.1 ? "middle" : "bad"),
      loss === null ? null : measure(said.loss, said.percent(loss * 100), loss * 10, scale(loss, [0.005, 0.03])),
      jitter === null ? null : measure(said.jitter, said.milliseconds(jitter), jitter / 60, scale(jitter, [15, 40])),
      trip === null ? null : measure(said.roundTrip, said.milliseconds(trip), trip / 400, scale(trip, [150, 300]))),
    isSilent ? el("p", { class: "soft" }, said.noReport) : null,
    el("p", { class: "soft" }, [codec, packets ? `${said.packets}: ${packets.toLocaleString()}` : null].filter(Boolean).join(" · ")));
};

const share = (part, whole) => (whole > 0 ? Math.max(0, part) / whole : null);

export const directionsOf = (leg) => {
  const media = leg.media ?? {};
  const came = media.packets_received ?? 0, sent = media.packets_sent ?? 0, lost = media.lost ?? 0;
  return [
    [said.received(role(leg)), {
      mos: media.mos ?? null, loss: came ? share(lost, came + lost) : null, jitter: came ? media.mean_jitter_ms ?? media.jitter_ms ?? null : null,
      trip: null, codec: came ? media.codec : null, packets: came,
    }],
    [said.sent(role(leg)), {
      mos: null, loss: typeof media.peer_lost === "number" ? share(media.peer_lost, sent) : null, jitter: media.peer_jitter_ms ?? null,
      trip: media.round_trip_ms ?? null, codec: null, packets: sent,
    }],
  ];
};

const quality = (found, isOver) => {
  const heard = found.filter((leg) => leg.media && (leg.media.packets_received || leg.media.packets_sent));
  if (!heard.length) return empty(isOver ? said.noQuality : said.qualityLater);
  return [el("p", { class: "soft" }, said.qualityTold),
    el("div", { class: "directions" }, heard.flatMap((leg) => directionsOf(leg).map(([name, values]) => direction(name, values))))];
};

const variables = (item) => {
  const kept = Object.entries(item.custom_application_vars ?? {});
  return kept.length ? panel(said.variables, facts(kept)) : null;
};

export const call = async (main, { parameters: [id], signal, every }) => {
  let { data: item } = await get(own(`/history/${id}`), {}, signal);
  const files = own(`/clicktocall/${item.clicktocall_id}/history/${id}`);
  const wrong = alarm();
  const state = el("div", { class: "state", role: "status" });
  const places = { times: el("div"), legs: room(), quality: room({ class: "stack" }), ladder: room({ class: "stack" }), downloads: room() };
  const actions = el("div", { class: "actions" });
  main.append(heading(said.title(item.contact), actions), state, wrong,
    el("div", { class: "columns even" }, panel(said.times, places.times), variables(item)),
    panel(said.legs, places.legs), panel(said.quality, places.quality),
    panel(said.ladder, places.ladder), panel(said.downloads, places.downloads));

  const drop = async () => {
    try {
      if (!(await hangUp(id))) wrong.say(words.dashboard.wasOver, "");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      wrong.say(error.told);
    }
  };
  /** The messages, as long as they are kept. */
  const trace = async () => {
    try {
      return JSON.parse(await (await fetchBlob(`${files}/trace.json`, { signal })).text()).messages;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
      return [];
    }
  };
  /** The click-to-call as it is now, null where it is gone. */
  const definition = async () => {
    try {
      return (await get(own(`/clicktocall/${item.clicktocall_id}`), {}, signal)).data;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
      return null;
    }
  };
  const download = (name) => button(said.files[name], async () => {
    wrong.say("");
    try {
      await save(`${files}/${name}`, `${id}.${name}`, { signal });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      wrong.say(error.status === 404 ? said.noFile : error.told);
    }
  });
  let isGone = false, isRecording = false, drawn = -1;
  const draw = async () => {
    const sentence = why(item);
    show(state, el("p", {}, result(item), sentence ? el("span", { class: "sentence" }, sentence) : null,
      item.cause && sentence !== words.caused(item.cause, item.sip_status) ? el("small", { class: "soft" }, words.caused(item.cause, item.sip_status)) : null));
    show(actions, item.state === "ended" ? null : button(said.hangUp, drop, { class: "danger" }));
    show(places.times, times(item, isGone));
    const { data } = await get(own("/cdrs"), { filter_activation_id: id, ascending: "true" }, signal);
    show(places.legs, legs(data));
    show(places.quality, quality(data, item.state === "ended"));
    const messages = isGone || item.rule !== undefined ? [] : await trace();
    if (messages.length !== drawn) {
      drawn = messages.length;
      show(places.ladder, messages.length ? [el("p", { class: "soft" }, said.ladderTold), ladder(messages)] : empty(said.noLadder));
    }
    const names = messages.length ? [...FILES] : [];
    // Of a call that has just ended here the file is there a moment later.
    if (item.recording || (isRecording && item.state === "ended" && item.result === "success")) names.push("recording.wav");
    show(places.downloads, names.length ? el("div", { class: "actions" }, names.map(download)) : empty(said.noDownloads));
  };
  const now = await definition();
  isGone = now === null;
  isRecording = now?.record === true && item.state !== "ended";
  await draw();
  if (item.state === "ended") return;
  every(1000, async () => {
    ({ data: item } = await get(own(`/history/${id}`), {}, signal));
    await draw();
    return item.state !== "ended";
  });
};
