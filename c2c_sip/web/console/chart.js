/* Drawings: bars of a day, and a bar for a value between two ends. */

import { el, svg } from "./dom.js";
import { words } from "./words.js";

const HEIGHT = 180, BELOW = 22, ABOVE = 18;

/** What was called, by the hour: [{hour, good, bad}], drawn as wide as there is room. */
export const hours = (bars, told) => {
  const place = el("div", { class: "chart" });
  const draw = () => {
    const width = Math.max(240, place.clientWidth || 640);
    const highest = Math.max(4, ...bars.map(({ good, bad }) => good + bad));
    const step = width / bars.length, room = HEIGHT - BELOW - ABOVE;
    const tall = (number) => (number / highest) * room;
    const every = width < 480 ? 6 : 3;
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": told });
    drawn.append(svg("line", { class: "axis", x1: 0, x2: width, y1: HEIGHT - BELOW + 0.5, y2: HEIGHT - BELOW + 0.5 }));
    for (const { hour, good, bad } of bars) {
      const x = hour * step + step * 0.16, wide = step * 0.68, floor = HEIGHT - BELOW;
      const group = svg("g", {}, svg("title", {}, words.dashboard.hour(hour, good, bad)),
        svg("rect", { class: "room", x: hour * step, y: ABOVE, width: step, height: room }));
      if (good) group.append(svg("rect", { class: "good", x, y: floor - tall(good), width: wide, height: tall(good), rx: 2 }));
      if (bad) group.append(svg("rect", { class: "bad", x, y: floor - tall(good + bad), width: wide, height: Math.max(1, tall(bad) - (good ? 1.5 : 0)), rx: 2 }));
      if (good + bad && (step > 20 || good + bad === highest))
        group.append(svg("text", { class: "number", x: x + wide / 2, y: floor - tall(good + bad) - 5 }, String(good + bad)));
      drawn.append(group);
      if (hour % every === 0)
        drawn.append(svg("text", { class: "hour", x: hour * step + step / 2, y: HEIGHT - 5 }, String(hour).padStart(2, "0")));
    }
    place.replaceChildren(drawn);
  };
  let width = -1;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    draw();
  }).observe(place);
  return place;
};

/** How much of a scale a value takes, 0 to 1, as a small bar. */
export const gauge = (share, kind) => {
  const wide = Math.min(1, Math.max(0, share)) * 100;
  return svg("svg", { class: "gauge", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "room", width: 100, height: 8 }),
    svg("rect", { class: kind, width: Math.max(wide, 1.5), height: 8 }));
};
