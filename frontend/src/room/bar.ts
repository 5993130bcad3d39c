/** The bar of a room: who is there, one's own name, the links, and the way out. */

import type { Awareness } from "y-protocols/awareness";
import { byId } from "../dom";

/** Readable below white letters, and seen on light and dark ground. */
const COLOURS = ["#b3261e", "#9a4a00", "#1d6b2e", "#00666f", "#0b5cad", "#5b4fc7", "#8a2a8f", "#a3195b"];
/** Where the browser keeps the visitor's name. */
const NAME = "name";

interface User {
  readonly name?: unknown;
  readonly color?: unknown;
}

export class RoomBar {
  private readonly bar = byId("room", HTMLElement);
  private readonly members = byId("members", HTMLUListElement);
  private readonly who = byId("who", HTMLInputElement);
  private readonly state = byId("room-state", HTMLElement);
  private readonly colour = COLOURS[Math.floor(Math.random() * COLOURS.length)] ?? "";

  constructor(private readonly awareness: Awareness) {
    this.who.value = kept() || `Guest ${100 + Math.floor(Math.random() * 900)}`;
    this.who.onchange = () => this.introduce();
    this.introduce();
    awareness.on("change", () => this.draw());
    this.draw();
    this.bar.hidden = false;
  }

  get name(): string {
    return this.who.value.trim() || "Guest";
  }

  /** What is to be known about the connection and the link. */
  say(text: string): void {
    this.state.textContent = text;
  }

  close(): void {
    this.bar.hidden = true;
  }

  private introduce(): void {
    try {
      localStorage.setItem(NAME, this.name);
    } catch {
      // The browser keeps nothing for this page. The name is asked for again next time.
    }
    this.awareness.setLocalStateField("user", { name: this.name, color: this.colour, colorLight: `${this.colour}33` });
  }

  private draw(): void {
    const items = [...this.awareness.getStates()].map(([id, state]) => {
      const { name, color } = (state["user"] ?? {}) as User;
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.backgroundColor = String(color);
      const item = document.createElement("li");
      item.append(dot, `${String(name ?? "Guest")}${id === this.awareness.clientID ? " (you)" : ""}`);
      return item;
    });
    this.members.replaceChildren(...items);
  }
}

function kept(): string {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}
