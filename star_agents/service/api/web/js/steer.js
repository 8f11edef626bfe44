// Pause, resume and drain. A token that may only look sees no buttons; what is refused is told with its reason.

import { isTold } from "./api.js";
import { byId, say } from "./dom.js";

const BUTTONS = { pause: ["running"], resume: ["paused"], drain: ["running", "paused"] };

export class Steering {
  #service;
  #mayWrite = false;
  #dialog = byId("drain-dialog");

  constructor(service) {
    this.#service = service;
    byId("pause").addEventListener("click", () => this.#order("pause", "resume"));
    byId("resume").addEventListener("click", () => this.#order("resume", "pause"));
    byId("drain").addEventListener("click", () => this.#dialog.showModal());
    byId("drain-no").addEventListener("click", () => this.#dialog.close());
    byId("drain-yes").addEventListener("click", () => {
      this.#dialog.close();
      this.#order("drain");
    });
  }

  async ask() {
    this.#mayWrite = (await this.#service.get("/token")).may_write;
  }

  show(phase) {
    for (const [verb, phases] of Object.entries(BUTTONS))
      byId(verb).hidden = !this.#mayWrite || !phases.includes(phase);
  }

  // The button that takes the place of the one that was pressed gets the focus.
  async #order(verb, next = null) {
    try {
      const { phase } = await this.#service.post(`/${verb}`);
      this.show(phase);
      if (next) byId(next).focus();
    } catch (error) {
      if (!isTold(error)) throw error;
      say(byId("message"), error.message);
    }
  }
}
