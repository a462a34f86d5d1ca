// Requests to the hub this page came from.

const ANSWER_WITHIN_MS = 30_000;
const LONGEST_REASON = 500;

/**
 * Ask the hub. Resolves with the response if it is a success; otherwise rejects with an Error whose message is
 * a sentence for the user.
 */
export async function ask(url, { method = "GET", xsrf = "", accept = "application/json", body = null, cache = "no-store" } = {}) {
  const headers = { Accept: accept };
  if (xsrf) headers["X-XSRFToken"] = xsrf;
  if (body !== null) headers["Content-Type"] = "application/json";
  const response = await send(url, {
    method,
    headers,
    body: body === null ? undefined : JSON.stringify(body),
    cache,
    credentials: "same-origin",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  if (!response.ok) throw new Error(await reason(response));
  return response;
}

async function send(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    throw new Error("The hub did not answer. Check your connection and try again.");
  }
}

async function reason(response) {
  const fallback = `The hub answered ${response.status}.`;
  const type = response.headers.get("Content-Type") ?? "";
  const body = await response.text().catch(() => "");
  const said = type.includes("json") ? messageOf(body) : type.startsWith("text/plain") ? body.trim() : "";
  return said.slice(0, LONGEST_REASON) || fallback;
}

function messageOf(body) {
  try {
    const { message } = JSON.parse(body);
    return typeof message === "string" ? message : "";
  } catch {
    return "";
  }
}
