/**
 * In place of lib0/dom, with which y-codemirror.next makes the cursors of others: a strict style-src forbids to set the
 * attribute `style`, and permits to set `style.cssText`.
 */

export function text(content: string): Text {
  return document.createTextNode(content);
}

export function element(
  name: string,
  attributes: readonly { readonly left: string; readonly right: string }[],
  children: readonly Node[] = [],
): HTMLElement {
  const made = document.createElement(name);
  for (const { left, right } of attributes) {
    if (left === "style") made.style.cssText = right;
    else made.setAttribute(left, right);
  }
  made.append(...children);
  return made;
}
