/** The OpenAPI document as a page without a script. build.js renders it. */
import { Fragment, type ComponentChildren } from "preact";
import { renderToString } from "preact-render-to-string";

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>;

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
  readonly "x-websocket"?: { readonly client: readonly Schema[]; readonly server: readonly Schema[] };
}

export interface Document {
  readonly info: { readonly title: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** The whole page. `style` is the stylesheet's address, and `integrity` its hash. */
export function page({ info, paths, components }: Document, style: string, integrity: string): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => <OperationPart {...{ path, method, operation }} />),
  );
  const html = renderToString(
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>{info.title}: API</title>
        <link rel="icon" href="data:," />
        <link rel="stylesheet" href={style} integrity={integrity} />
      </head>
      <body>
        <main>
          <h1>{info.title}: API</h1>
          <Prose text={info.description} />
          <p>
            For programs: <a href="openapi.json">openapi.json</a>. To try it: <a href=".">the page</a>.
          </p>
          {operations}
          <h2>Types</h2>
          {Object.entries(components.schemas).map(([name, schema]) => (
            <SchemaPart {...{ name, schema }} />
          ))}
        </main>
      </body>
    </html>,
  );
  return `<!doctype html>${html}\n`;
}

function OperationPart({ path, method, operation }: { path: string; method: string; operation: Operation }) {
  const { operationId, summary, description, requestBody, responses, "x-websocket": frames } = operation;
  return (
    <>
      <h2 id={operationId}>
        <b>{frames ? "WS" : method.toUpperCase()}</b> {path}
      </h2>
      <p>
        <strong>{summary}</strong>
      </p>
      <Prose text={description} />
      {requestBody && (
        <p>
          Body: <ContentPart content={requestBody.content} />
        </p>
      )}
      {frames && (
        <>
          <p>Client's frames: {joined(frames.client.map(typeOf), ", ")}</p>
          <p>Server's frames: {joined(frames.server.map(typeOf), ", ")}</p>
        </>
      )}
      <Table heads={["Status", "Answer", "Type"]}>
        {Object.entries(responses).map(([status, answer]) => (
          <tr>
            <td>{status}</td>
            <td>{inline(answer.description)}</td>
            <td>{answer.content && <ContentPart content={answer.content} />}</td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function SchemaPart({ name, schema }: { name: string; schema: Schema }) {
  const required = schema.required ?? [];
  return (
    <>
      <h3 id={name}>{name}</h3>
      <Prose text={schema.description ?? ""} />
      {schema.properties ? (
        <Table heads={["Field", "Type", "Meaning"]}>
          {Object.entries(schema.properties).map(([field, about]) => (
            <tr>
              <td>
                <code>{field}</code>
              </td>
              <td>
                {typeOf(about)}
                {required.includes(field) ? "" : ", optional"}
              </td>
              <td>{inline(about.description ?? "")}</td>
            </tr>
          ))}
        </Table>
      ) : (
        <p>{typeOf(schema)}</p>
      )}
    </>
  );
}

function Table({ heads, children }: { heads: readonly string[]; children: ComponentChildren }) {
  return (
    <table>
      <thead>
        <tr>
          {heads.map((head) => (
            <th>{head}</th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}

function ContentPart({ content }: { content: Content }) {
  const kinds = Object.entries(content).map(([mediaType, { schema }]) => (
    <>
      <code>{mediaType}</code> {typeOf(schema)}
    </>
  ));
  return joined(kinds, <br />);
}

function typeOf(schema: Schema): ComponentChildren {
  if (schema.$ref) {
    const name = schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
    return <a href={`#${name}`}>{name}</a>;
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return joined(choices.map(typeOf), " or ");
  const values = "const" in schema ? [schema.const] : schema.enum;
  if (values) return joined(values.map((value) => <code>{String(value)}</code>), " ");
  if (schema.items) return <>list of {typeOf(schema.items)}</>;
  if (typeof schema.additionalProperties === "object") return <>object of {typeOf(schema.additionalProperties)}</>;
  return schema.type ?? "anything";
}

function Prose({ text }: { text: string }) {
  const paragraphs = text.split("\n\n").filter((paragraph) => paragraph.trim());
  return (
    <>
      {paragraphs.map((paragraph) => (
        <p>{inline(paragraph)}</p>
      ))}
    </>
  );
}

/** What stands between two backquotes is code. */
function inline(text: string): ComponentChildren {
  return text.split("`").map((part, place) => (place % 2 ? <code>{part}</code> : part));
}

function joined(parts: readonly ComponentChildren[], separator: ComponentChildren) {
  return (
    <>
      {parts.map((part, place) => (
        <Fragment>
          {place > 0 && separator}
          {part}
        </Fragment>
      ))}
    </>
  );
}
