/* Documents and what was changed in them: merge patches (RFC 7396), which is what PATCH takes. */

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

export const same = (one, other) => {
  if (Array.isArray(one)) return Array.isArray(other) && one.length === other.length && one.every((each, i) => same(each, other[i]));
  if (!isObject(one)) return one === other;
  if (!isObject(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => Object.hasOwn(other, key) && same(one[key], other[key]));
};

/** The patch that makes `after` of `before`; empty where they are the same. */
export const diff = (before, after) => {
  const patch = {};
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) patch[key] = null;
  for (const [key, value] of Object.entries(after)) {
    if (Object.hasOwn(before, key) && same(before[key], value)) continue;
    patch[key] = isObject(value) && isObject(before[key]) ? diff(before[key], value) : value;
  }
  return patch;
};

/** A document with a patch on top of it. */
export const patched = (document, patch) => {
  const made = { ...(isObject(document) ? document : {}) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete made[key];
    else made[key] = isObject(value) ? patched(made[key], value) : value;
  }
  return made;
};

/** The value at a dotted path, undefined where there is none. */
export const valueAt = (document, path) =>
  path.split(".").reduce((found, step) => (isObject(found) && Object.hasOwn(found, step) ? found[step] : undefined), document);

/** The document with another value at a dotted path; undefined takes it away, and what is empty then. */
export const withValue = (document, path, value) => {
  const [step, ...rest] = path.split(".");
  const made = { ...(isObject(document) ? document : {}) };
  const next = rest.length ? withValue(made[step], rest.join("."), value) : value;
  if (next === undefined || (rest.length && isObject(next) && !Object.keys(next).length)) delete made[step];
  else made[step] = next;
  return made;
};

/** The dotted paths that a patch touches. */
export const pathsOf = (patch, above = "") =>
  Object.entries(patch).flatMap(([key, value]) =>
    isObject(value) && Object.keys(value).length ? pathsOf(value, `${above}${key}.`) : [`${above}${key}`]);
