// HTTP with the key of this tab. Errors carry the server's own words.

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "the gateway does not answer");
    this.code = problem.code ?? "unreachable";
  }
}

/** The key from the address, which never leaves the browser by itself, or the one asked for before. */
export function key() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    sessionStorage.setItem("key", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("key");
}

/** Ask for a key; resolves when the reader has given one. */
export function askForKey() {
  const dialog = document.getElementById("ask");
  const field = document.getElementById("key");
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem("key", field.value.trim());
      field.value = "";
      resolve();
    }, { once: true });
  });
}

export async function call(path, { method = "GET", body } = {}) {
  const headers = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refused({});
  }
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(data);
  return data;
}
