// The inference server, the hardware, the plan; what stands in the way, in words.

import { getJson } from "./api.js";
import { $, el, number, t } from "./page.js";

const EVERY_MS = 15_000;

export class ServerStatus extends EventTarget {
  model = "";

  constructor() {
    super();
    $("status-refresh").addEventListener("click", () => this.refresh());
    setInterval(() => document.hidden || this.refresh({ quiet: true }), EVERY_MS);
    this.refresh();
  }

  /** quiet: do not ask for the access key. */
  async refresh(init = {}) {
    try {
      this.#show(await getJson("/status", init));
    } catch (error) {
      this.#pill(error.status === 401 ? "locked" : "gone", t(error.status === 401 ? "server.locked" : "server.gone"));
    }
  }

  #pill(state, text) {
    $("server").dataset.state = state;
    $("server-text").textContent = text;
  }

  #show(status) {
    const { inference_server: server, problems } = status;
    this.model = server?.model ?? "";
    this.#pill(status.ready ? "ready" : "problem", status.ready ? t("server.ready_with", { kind: server.dialect }) : t("server.not_ready"));
    $("server").title = status.ready ? `${server.model} · ${server.dialect}` : problems.join("\n");
    $("problems").hidden = !problems.length;
    $("problem-list").replaceChildren(...problems.map((problem) => el("li", {}, problem)));
    rows($("inference"), {
      "status.answers": server ? t(server.reachable ? "status.yes" : "status.no") : t("status.unset"),
      "status.kind": server?.reachable && server.dialect,
      "status.model": server?.model,
      "status.context": server?.n_ctx && t("status.tokens", { n: number(server.n_ctx) }),
      "status.slots": server?.slots,
      "status.queue": t("status.queue_value", { speaking: status.queue.speaking, limit: status.queue.speaking_limit, waiting: status.queue.waiting }),
    });
    rows($("machine"), machine(status));
  }
}

function machine({ hardware, plan, codec }) {
  const gpu = [t("status.gpu_value", { name: hardware.name, vram: hardware.vram_gb })];
  if (hardware.compute_capability) gpu.push(t("status.compute", { value: hardware.compute_capability.join(".") }));
  return {
    "status.gpu": hardware.device === "cpu" ? t("status.no_gpu") : gpu.join(", "),
    "status.processor": t("status.processor_value", { cores: hardware.cores, threads: hardware.threads, ram: hardware.ram_gb }),
    "status.plan": t("status.plan_value", { mode: plan.mode, workers: plan.workers, batch: plan.token_batch }),
    "status.codec": codec.ready ? t("status.codec_value", codec) : t("status.codec_none"),
  };
}

function rows(list, values) {
  const given = Object.entries(values).filter(([, value]) => value || value === 0);
  list.replaceChildren(...given.flatMap(([key, value]) => [el("dt", {}, t(key)), el("dd", {}, String(value))]));
}
