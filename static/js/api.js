// Requests to this server: the access key, errors in words, server-sent events.

import { $, memory, root, t } from "./page.js";

export class ApiError extends Error {
  /** param: the field at fault, where the server names one. */
  constructor(message, status, param = null) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

let key = sessionStorage.getItem("orpheus.key") ?? memory.get("key", "");
let asking = null;

export const hasKey = () => key !== "";

$("key-cancel").addEventListener("click", () => $("key-dialog").close("cancel"));

/** Ask for the access key. Resolves to whether there is a new one. Asks once, however many want it. */
function askForKey(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = $("key-dialog");
    $("key-wrong").hidden = !wrong;
    $("key").value = "";
    dialog.returnValue = "cancel";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      asking = null;
      if (dialog.returnValue !== "ok" || !$("key").value) return resolve(false);
      key = $("key").value.trim();
      if ($("key-keep").checked) memory.set("key", key);
      else sessionStorage.setItem("orpheus.key", key);
      resolve(true);
    }, { once: true });
  });
  return asking;
}

/**
 * fetch() on this server. Raises ApiError with the server's own words.
 * quiet: do not ask for the access key; for what nobody pressed a button for.
 */
export async function request(path, { quiet = false, headers = {}, json, ...init } = {}) {
  if (json !== undefined) {
    init = { method: "POST", body: JSON.stringify(json), ...init };
    headers = { "Content-Type": "application/json", ...headers };
  }
  for (;;) {
    const sent = key;
    let response;
    try {
      response = await fetch(root + path, { ...init, headers: { ...headers, ...(key && { Authorization: `Bearer ${key}` }) } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(t("speak.unreachable"), 0);
    }
    if (response.status === 401 && !quiet && (sent !== key || (await askForKey(Boolean(sent))))) continue;
    if (!response.ok) throw await failure(response);
    return response;
  }
}

export const getJson = async (path, init) => (await request(path, init)).json();

async function failure(response) {
  try {
    const { message, param } = (await response.json()).error;
    return new ApiError(message, response.status, param);
  } catch {
    return new ApiError(`${response.status} ${response.statusText}`, response.status);
  }
}

/** The JSON of every event in a response of server-sent events, cut anywhere. */
export async function* events(response) {
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    rest += done ? "" : decoder.decode(value, { stream: true });
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const text = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (text) yield JSON.parse(text);
    }
    if (done) return;
  }
}
