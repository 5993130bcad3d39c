/** The files that an execution gave back: pictures are shown, the rest can be saved. */

import type { ResultFile } from "./api";
import { bytes } from "./words";

/** Only as the source of an <img>, where a browser runs no script, not even one inside an SVG. */
const PICTURES: Readonly<Record<string, string>> = {
  gif: "image/gif",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  png: "image/png",
  svg: "image/svg+xml",
  webp: "image/webp",
};

export function fileElement(file: ResultFile): HTMLElement {
  const figure = document.createElement("figure");
  const type = PICTURES[file.name.split(".").pop()?.toLowerCase() ?? ""];
  if (type) {
    const image = document.createElement("img");
    image.src = `data:${type};base64,${file.content}`;
    image.alt = file.name;
    figure.append(image);
  }
  const link = document.createElement("a");
  // As bytes of no kind, so that it can only be saved and never opened as a page of this origin.
  link.href = `data:application/octet-stream;base64,${file.content}`;
  link.download = file.name;
  link.textContent = `${file.name}, ${bytes(file.size)}`;
  const caption = document.createElement("figcaption");
  caption.append(link);
  figure.append(caption);
  return figure;
}
