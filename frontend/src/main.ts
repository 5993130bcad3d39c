/** The page: the visitor picks an environment and a program, and runs and shares it. */

import { type Environments, Refused, environments, makeRoom } from "./api";
import { byId } from "./dom";
import { RunPanel } from "./panel";
import type { Room } from "./room/room";
import { type RoomLink, fromFragment, roomOf, toFragment } from "./share";
import * as words from "./words";
import { Workbench } from "./workbench";

/** Seconds between attempts to load the environments, if the answer has no Retry-After. */
const RELOAD = 5;

const panel = new RunPanel();
const main = byId("main", HTMLElement);
const linkButton = byId("link", HTMLButtonElement);
const shareButton = byId("share", HTMLButtonElement);
const editButton = byId("copy-edit", HTMLButtonElement);
const viewButton = byId("copy-view", HTMLButtonElement);
const served = await load();
const bench = new Workbench(served, (environment) => {
  if (room) room.choose(environment.name, environment.main, bench.first(environment).files[0]?.content ?? "");
  else bench.switchTo(environment);
});
let room: Room | null = null;

async function load(): Promise<Environments> {
  for (;;) {
    try {
      return await environments();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      panel.refuse(error);
      await new Promise((resolve) => setTimeout(resolve, (error.problem.retry_after ?? RELOAD) * 1000));
    }
  }
}

/** Open the room or the program in the fragment of the URL, if there is one. */
async function openShared(): Promise<void> {
  try {
    const link = roomOf(location.hash);
    if (link) return await enter(link);
    leave();
    const program = await fromFragment(location.hash, (environment) => bench.mainOf(environment));
    if (!program) return;
    bench.open(program);
    const known = served.environments.some(({ name }) => name === program.environment);
    if (known) panel.say("idle", "Opened from a link. Read it, then run it.");
    else panel.say("bad", `This link is for the environment ${program.environment}, which isn't served here.`);
  } catch (error) {
    panel.say("bad", (error as Error).message);
  }
}

async function copyLink(): Promise<void> {
  history.replaceState(null, "", await toFragment(bench.program));
  await copy(location.href, "The link is copied, and in the address bar. The program is in the link itself.");
}

async function copy(text: string, said: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    panel.say("idle", said);
  } catch {
    panel.say("idle", `The browser doesn't let this page copy. The link: ${text}`);
  }
}

/** Make a room with the program, and enter it. */
async function share(): Promise<void> {
  shareButton.disabled = true;
  try {
    const { environment, files, stdin } = bench.program;
    const links = await makeRoom({ environment, files, stdin });
    // Kept with the page's entry in the history, so that a reload still has the link to view.
    history.pushState({ view: new URL(links.view).hash }, "", new URL(links.edit).hash);
    await openShared();
    panel.say("idle", "The room is open. Whoever has its link edits and runs this with you.");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    panel.refuse(error);
  } finally {
    shareButton.disabled = false;
  }
}

async function enter(link: RoomLink): Promise<void> {
  if (room?.link.id === link.id && room.link.token === link.token) return;
  const loaded = await import("./room/room").catch(() => {
    throw new Error("The part of this page for rooms can't be loaded. Reload the page.");
  });
  leave();
  panel.stop();
  panel.allow(false);
  linkButton.hidden = shareButton.hidden = editButton.hidden = viewButton.hidden = true;
  main.inert = true; // what is typed before the room's program comes would be lost
  room = new loaded.Room(link, {
    panel,
    stdin: bench.stdin,
    made: (name, content, extra) => bench.made(name, content, extra),
    opened: (environment, sources) => {
      bench.adopt(environment, sources);
      panel.allow(sources.writable);
      main.inert = false;
      editButton.hidden = !sources.writable;
      viewButton.hidden = viewLink() === null;
      if (document.activeElement !== document.body) return;
      // Who has made the room copies its link next.
      if (editButton.hidden || viewButton.hidden) bench.focus();
      else editButton.focus();
    },
    filesChanged: (names) => bench.tabs.refresh(names),
    packagesUsed: (names) => bench.showPackages(names),
    closed: (why) => {
      leave();
      panel.say("bad", `${why} What you see is a copy of your own.`);
    },
  });
}

/** Leave the room, if in one, with a copy of its program. */
function leave(): void {
  if (!room) return;
  room.leave();
  room = null;
  main.inert = false;
  linkButton.hidden = false;
  shareButton.hidden = !served.rooms;
  bench.open(bench.program);
  panel.allow(true);
}

/** The link to view the room, as far as this page knows it. */
function viewLink(): string | null {
  if (room && !room.writable) return location.href;
  const { view } = (history.state ?? {}) as { readonly view?: string };
  return view ? new URL(view, location.href).href : null;
}

function run(): void {
  if (!room) panel.run({ ...bench.program, packages: bench.wanted, results: ["*"] });
  else if (room.writable) void room.run(bench.wanted);
}

byId("run", HTMLButtonElement).addEventListener("click", run);
linkButton.addEventListener("click", () => void copyLink());
shareButton.addEventListener("click", () => void share());
editButton.addEventListener("click", () => void copy(location.href, "Copied: whoever has this link can edit and run."));
viewButton.addEventListener("click", () => void copy(viewLink() ?? "", "Copied: whoever has this link can watch."));
byId("leave", HTMLButtonElement).addEventListener("click", () => {
  leave();
  history.replaceState(null, "", location.pathname);
  panel.say("idle", "You have left the room, with a copy of its program.");
  bench.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  } else if (event.key === "Escape") panel.stop();
});
addEventListener("hashchange", () => void openShared());

byId("limits", HTMLElement).textContent = words.limits(served.limits);
panel.say("idle", "Ready");
panel.allow(true);
shareButton.hidden = !served.rooms;
linkButton.disabled = shareButton.disabled = false;
bench.open(bench.first());
await openShared();
bench.focus();
