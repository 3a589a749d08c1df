/* How everything on the page is made. Texts become text nodes, never markup: what callers, phones and providers send
   can be read and does nothing. */

const SVG = "http://www.w3.org/2000/svg";

const fill = (made, attributes, children) => {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name.startsWith("on") || name === "style") throw new Error(`no attribute ${name}`);
    else if (name === "href" && !/^#/.test(value)) throw new Error("links lead to pages of the console only");
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return made;
};

/** An element; an attribute whose value is a function is a listener for the event of that name. */
export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** The same for a drawing. */
export const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

let last = 0;
/** An id that no other element has. */
export const fresh = (name = "e") => `${name}-${++last}`;

/** Put new children in the place of all there are, unless they look the same: what somebody is reading stays, and the
    focus is again where it was, found by its link or name. */
export const show = (place, ...children) => {
  const next = document.createElement("div");
  next.append(...children.flat(Infinity).filter(Boolean));
  if (next.isEqualNode(place._shown ?? null)) return false;
  place._shown = next.cloneNode(true);
  const focused = place.contains(document.activeElement) ? mark(document.activeElement) : "";
  place.replaceChildren(...next.childNodes);
  if (focused) [...place.querySelectorAll("a, button, input, select")].find((each) => mark(each) === focused)?.focus();
  return true;
};

const mark = (element) =>
  `${element.tagName} ${element.getAttribute("href") ?? ""} ${element.getAttribute("aria-label") ?? element.textContent}`;

/** Text for screen readers only. */
export const unseen = (text) => el("span", { class: "unseen" }, text);
