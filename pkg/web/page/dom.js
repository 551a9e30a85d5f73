// Elements. All text of a node, a container or a log becomes a text node here, and nothing else: there is no way from a string to markup.

const svgSpace = "http://www.w3.org/2000/svg";

// h makes an element: h("a", {class: "x", href: "#/", onclick: f}, "text", child). What is null or false is left out.
export const h = (tag, properties, ...children) => build(document.createElement(tag), properties, children);

// s makes an element of a drawing.
export const s = (tag, properties, ...children) => build(document.createElementNS(svgSpace, tag), properties, children);

function build(element, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child); // a string becomes a text node
  }
}

// fill gives an element other children.
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

// put changes the text of an element if it is another.
export function put(element, text) {
  text = String(text);
  if (element.textContent !== text) element.textContent = text;
}

// set changes an attribute if it is another; null removes it.
export function set(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// keyed keeps one child for each of a list, in its order: make(item) makes one, update(child, item) brings it up to date.
export function keyed(parent, list, keyOf, make, update) {
  const have = (parent.kept ??= new Map());
  const gone = new Set(have.keys());
  let next = parent.firstChild;
  for (const item of list) {
    const key = keyOf(item);
    let child = have.get(key);
    if (!child) have.set(key, (child = make(item)));
    gone.delete(key);
    update(child, item);
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
  for (const key of gone) {
    have.get(key).remove();
    have.delete(key);
  }
}

// say tells those who do not see the page what has changed.
export function say(text) {
  put(document.getElementById("said"), text);
}
