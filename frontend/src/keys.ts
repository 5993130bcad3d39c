/** What a terminal sends for a key. */

const NAMED: Readonly<Record<string, string>> = {
  Enter: "\r",
  Backspace: "\x7f",
  Delete: "\x1b[3~",
  ArrowUp: "\x1b[A",
  ArrowDown: "\x1b[B",
  ArrowRight: "\x1b[C",
  ArrowLeft: "\x1b[D",
  Home: "\x1b[H",
  End: "\x1b[F",
};

/** Null for keys that are the browser's or the page's: Tab and Escape among them, and those that copy and paste. */
export function keyText(event: KeyboardEvent): string | null {
  if (event.isComposing || event.metaKey || event.altKey) return null;
  if (event.ctrlKey) {
    const copies = event.key === "c" && getSelection()?.isCollapsed === false;
    return /^[a-uw-z]$/.test(event.key) && !copies ? String.fromCharCode(event.key.charCodeAt(0) & 0x1f) : null;
  }
  return NAMED[event.key] ?? ([...event.key].length === 1 ? event.key : null);
}
