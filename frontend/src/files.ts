/** Shows the result files of an execution: pictures as such, and every file as a download. */

import type { ResultFile } from "./api";
import { bytes } from "./words";

/** Media types by extension. Used only for the source of an <img>, where browsers run no script, not even in an SVG. */
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
  // octet-stream: a browser saves the file and never opens it as a page of this origin.
  link.href = `data:application/octet-stream;base64,${file.content}`;
  link.download = file.name;
  link.textContent = `${file.name}, ${bytes(file.size)}`;
  const caption = document.createElement("figcaption");
  caption.append(link);
  figure.append(caption);
  return figure;
}
