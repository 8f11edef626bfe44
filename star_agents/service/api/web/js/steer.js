// Pause, resume and drain. A token that may only look sees no buttons; what is refused, or cannot be done to a run that
// is over, is told with its reason.

import { isTold } from "./api.js";
import { byId, say } from "./dom.js";
import { isOver } from "./overview.js";

const BUTTONS = { pause: ["running"], resume: ["paused"], drain: ["running", "paused"] };
const NOTHING_TO_STEER = "The run is over: there is nothing to steer. serve-run --resume starts it again.";

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

  // Of a run that is over the buttons stay, and say why they do nothing.
  show(status) {
    const isPast = isOver(status);
    for (const [verb, phases] of Object.entries(BUTTONS)) {
      const button = byId(verb);
      button.hidden = !this.#mayWrite || !(isPast ? verb !== "resume" : phases.includes(status.phase));
      button.disabled = isPast;
      button.title = isPast ? NOTHING_TO_STEER : "";
    }
  }

  hide() {
    for (const verb of Object.keys(BUTTONS)) byId(verb).hidden = true;
  }

  // The button that takes the place of the one that was pressed gets the focus.
  async #order(verb, next = null) {
    try {
      const { phase } = await this.#service.post(`/${verb}`);
      this.show({ phase });
      if (next) byId(next).focus();
    } catch (error) {
      if (!isTold(error)) throw error;
      say(byId("message"), error.message);
    }
  }
}
