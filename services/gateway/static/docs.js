// The API, shown from its own description; nothing comes from anywhere else.

const page = document.getElementById("docs");
const api = await (await fetch("/openapi.json")).json();
const schemas = api.components.schemas;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text != null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A schema as a person would write an example of it. */
function sketch(schema, depth = 0) {
  if (!schema || depth > 6) return "...";
  if (schema.$ref) return sketch(schemas[schema.$ref.split("/").at(-1)], depth + 1);
  if (schema.anyOf) return sketch(schema.anyOf.find((s) => s.type !== "null") ?? schema.anyOf[0], depth);
  if (schema.examples) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array" && schema.prefixItems) return schema.prefixItems.map((s) => sketch(s, depth + 1));
  if (schema.type === "array") return [sketch(schema.items, depth + 1)];
  if (schema.type === "object" && schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties).map(([k, s]) => [k, sketch(s, depth + 1)]));
  }
  if (schema.type === "object") return { "...": sketch(schema.additionalProperties, depth + 1) };
  return { integer: 0, number: 0.5, boolean: true }[schema.type] ?? schema.format ?? schema.type;
}

function pretty(schema) {
  return element("pre", JSON.stringify(sketch(schema), null, 2));
}

function parameters(list) {
  const table = element("table");
  for (const parameter of list) {
    const row = element("tr");
    const shape = parameter.schema.anyOf?.[0] ?? parameter.schema;
    const limits = [shape.type, shape.enum?.join(" | "), shape.maximum && `at most ${shape.maximum}`,
      parameter.schema.default !== undefined && `default ${parameter.schema.default}`];
    row.append(element("td", parameter.name), element("td", parameter.in, "muted"),
      element("td", limits.filter(Boolean).join(", "), "muted"), element("td", parameter.description ?? "", "muted"));
    table.append(row);
  }
  return table;
}

function operation(path, method, described) {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("b", method.toUpperCase(), method), element("code", path.replace(":path}", "}")),
    element("span", (described.description ?? "").replaceAll("`", ""), "muted"));
  const body = element("div");
  if (described.parameters?.length) body.append(element("h3", "Parameters"), parameters(described.parameters));
  const asked = described.requestBody?.content["application/json"]?.schema;
  if (asked) body.append(element("h3", "Body, optional"), pretty(asked));
  for (const [status, answer] of Object.entries(described.responses)) {
    const schema = answer.content?.["application/json"]?.schema;
    body.append(element("h3", `${status}  ${answer.description.replaceAll("`", "")}`));
    if (schema && Object.keys(schema).length) body.append(pretty(schema));
  }
  details.append(summary, body);
  return details;
}

const groups = Map.groupBy
  ? Map.groupBy(operations(), (o) => o.tag)
  : operations().reduce((map, o) => map.set(o.tag, [...(map.get(o.tag) ?? []), o]), new Map());

function operations() {
  return Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ path, method, described, tag: described.tags?.[0] ?? "other" })));
}

page.replaceChildren(element("h1", `${api.info.title} API`));
api.info.description.trim().split("\n\n").forEach((text) => page.append(element("p", text.replaceAll("`", ""), "muted")));
for (const [tag, members] of groups) {
  page.append(element("h2", tag), ...members.map((o) => operation(o.path, o.method, o.described)));
}
page.append(element("h2", "errors"), element("p", "Problem details, RFC 9457; the code is stable.", "muted"), pretty(schemas.Problem));
