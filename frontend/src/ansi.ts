/** Parses terminal output into runs of text with one style, and controls. SGR sequences (colours) become styles. */

export interface Style {
  /** One of the 16 colours, 0 to 15. */
  readonly colour: number | null;
  readonly background: number | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
}

/** A control character, or the last letter of a control sequence (CSI) with its parameters. */
export interface Control {
  readonly control: string;
  readonly parameters: readonly number[];
}

export type Run = { readonly text: string; readonly style: Style } | Control;

const PLAIN: Style = { colour: null, background: null, bold: false, dim: false, italic: false, underline: false };

// CSI ... final byte; OSC, DCS, SOS, PM and APC up to their terminator; any other escape.
const ESCAPE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-OQ-WYZ\\`-~])/;
const TOKEN = new RegExp(`${ESCAPE.source}|[\\x00-\\x1f\\x7f-\\x9f]`, "g");
const SEQUENCE = /^\x1b\[([\d;]*)([@-~])$/;
/** An incomplete escape sequence: the rest may be in the next frame. */
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$/;
/** In characters. Longer text without a terminator is no escape sequence. */
const LONGEST = 4096;

/** Parses one stream, which may be split anywhere, within a sequence too. */
export class AnsiParser {
  private style = PLAIN;
  private kept = "";

  parse(data: string): Run[] {
    let text = this.kept + data;
    const unfinished = UNFINISHED.exec(text);
    this.kept = unfinished && unfinished[0].length < LONGEST ? unfinished[0] : "";
    text = text.slice(0, text.length - this.kept.length);

    const runs: Run[] = [];
    const plain = (piece: string) => piece && runs.push({ text: piece, style: this.style });
    let from = 0;
    for (const token of text.matchAll(TOKEN)) {
      plain(text.slice(from, token.index));
      from = token.index + token[0].length;
      const [, parameters = "", control = token[0]] = SEQUENCE.exec(token[0]) ?? [];
      if (control === "m") this.style = styled(this.style, parameters);
      else if (control.length === 1) runs.push({ control, parameters: parameters.split(";").map(Number) });
    }
    plain(text.slice(from));
    return runs;
  }
}

function styled(style: Style, parameters: string): Style {
  const codes = parameters.split(";").map(Number);
  for (let code = codes.shift(); code !== undefined; code = codes.shift()) {
    if (code === 0) style = PLAIN;
    else if (code === 1) style = { ...style, bold: true };
    else if (code === 2) style = { ...style, dim: true };
    else if (code === 3) style = { ...style, italic: true };
    else if (code === 4) style = { ...style, underline: true };
    else if (code === 22) style = { ...style, bold: false, dim: false };
    else if (code === 23) style = { ...style, italic: false };
    else if (code === 24) style = { ...style, underline: false };
    else if (code >= 30 && code <= 37) style = { ...style, colour: code - 30 };
    else if (code >= 90 && code <= 97) style = { ...style, colour: code - 82 };
    else if (code === 38) style = { ...style, colour: extended(codes) };
    else if (code === 39) style = { ...style, colour: null };
    else if (code >= 40 && code <= 47) style = { ...style, background: code - 40 };
    else if (code >= 100 && code <= 107) style = { ...style, background: code - 92 };
    else if (code === 48) style = { ...style, background: extended(codes) };
    else if (code === 49) style = { ...style, background: null };
  }
  return style;
}

/** Takes the parameters of an extended colour. Beyond the 16 there is none that is legible on light and on dark. */
function extended(codes: number[]): number | null {
  const [kind, index = 0] = codes.splice(0, codes[0] === 2 ? 4 : 2);
  return kind === 5 && index < 16 ? index : null;
}
