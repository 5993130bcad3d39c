/** The code editor: CodeMirror with the features that a small program needs. */

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascriptLanguage, typescriptLanguage } from "@codemirror/lang-javascript";
import { pythonLanguage } from "@codemirror/lang-python";
import {
  HighlightStyle,
  StreamLanguage,
  bracketMatching,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { ruby } from "@codemirror/legacy-modes/mode/ruby";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { sqlite } from "@codemirror/legacy-modes/mode/sql";
import { EditorState, type Extension } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Environment } from "./api";

interface Language {
  readonly support: Extension;
  readonly indent: string;
}

/** By the API's name of the language. Code in any other language is shown without colours. */
const LANGUAGES: Readonly<Record<string, Language>> = {
  python: { support: pythonLanguage, indent: "    " },
  javascript: { support: javascriptLanguage, indent: "  " },
  typescript: { support: typescriptLanguage, indent: "  " },
  bash: { support: StreamLanguage.define(shell), indent: "  " },
  ruby: { support: StreamLanguage.define(ruby), indent: "  " },
  sql: { support: StreamLanguage.define(sqlite), indent: "  " },
};

// The colours are custom properties of page.css, which have values for light and for dark.
const highlighting = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)" },
  { tag: [tags.comment, tags.meta], color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-number)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--code-function)" },
  { tag: [tags.definition(tags.variableName), tags.className], color: "var(--code-name)" },
  { tag: [tags.standard(tags.variableName)], color: "var(--code-function)" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--text)", backgroundColor: "var(--surface)" },
  "&.cm-focused": { outline: "none" }, // shown around the whole editor by page.css
  ".cm-scroller": { fontFamily: "var(--mono)", fontSize: "var(--mono-size)", lineHeight: "1.55" },
  ".cm-content": { padding: "0.6rem 0", caretColor: "var(--accent)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--muted)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--line)" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)" },
});

const OWN_HISTORY: Extension = [history(), keymap.of(historyKeymap)];

/** CodeMirror in a shadow root: there its styles are constructed style sheets, which a strict style-src permits. */
export class Editor {
  private readonly view: EditorView;

  /** `edited` is called after each change of the code, by the user or by `replace`. */
  constructor(
    host: HTMLElement,
    private readonly edited: () => void,
  ) {
    const root = host.attachShadow({ mode: "open" });
    this.view = new EditorView({ parent: root, root });
  }

  /** The state of the file that is shown. */
  get state(): EditorState {
    return this.view.state;
  }

  /** A file for `show`. It has the environment's language if its name ends as that of the main file. */
  made(name: string, content: string, environment: Environment, undo: Extension = OWN_HISTORY): EditorState {
    const ending = environment.main.slice(environment.main.lastIndexOf("."));
    const language = name.endsWith(ending) ? LANGUAGES[environment.language] : undefined;
    return EditorState.create({
      doc: content,
      extensions: [
        undo,
        lineNumbers(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        EditorState.tabSize.of(4),
        indentUnit.of(language?.indent ?? "  "),
        language?.support ?? [],
        syntaxHighlighting(highlighting),
        theme,
        EditorView.updateListener.of((update) => update.docChanged && this.edited()),
        keymap.of([
          // Takes precedence over the default keymap, which inserts a line: the page handles this key, and runs the code.
          { key: "Mod-Enter", run: () => true },
          ...closeBracketsKeymap,
          ...defaultKeymap,
          indentWithTab,
        ]),
        EditorView.contentAttributes.of({ "aria-label": `${name}, ${environment.name}`, autocapitalize: "off" }),
      ],
    });
  }

  show(state: EditorState): void {
    this.view.setState(state);
  }

  /** Replace the code. Undo restores the old code. */
  replace(code: string): void {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: code }, scrollIntoView: true });
  }

  focus(): void {
    this.view.focus();
  }
}
