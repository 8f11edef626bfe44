// Asking the service. The token goes in a header, never in an address.

const API = "/api/v1";

export class Refused extends Error {
  constructor(status, title, problems = []) {
    super([title, ...problems].join("; "));
    this.status = status;
  }
}

// Nobody answers: the service has ended, or the way to it has.
export class Gone extends Error {}

// Errors of the way and of the request, which a person is told; any other is a mistake of the page.
export const isTold = (error) => error instanceof Refused || error instanceof Gone;

export class Service {
  constructor(token) {
    this.token = token;
  }

  async get(path) {
    return (await this.#ask("GET", path)).json();
  }

  async post(path) {
    return (await this.#ask("POST", path)).json();
  }

  // The pieces of a text that never ends, as they come.
  async *pieces(path, signal) {
    const reply = await this.#ask("GET", path, signal);
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw new Gone(error.message);
      });
      if (done) return;
      yield value;
    }
  }

  async #ask(method, path, signal) {
    const headers = { Authorization: `Bearer ${this.token}` };
    const reply = await fetch(API + path, { method, headers, signal, cache: "no-store" }).catch((error) => {
      throw new Gone(error.message);
    });
    if (reply.ok) return reply;
    const told = await reply.json().catch(() => ({}));
    throw new Refused(reply.status, told.title ?? `status ${reply.status}`, told.problems);
  }
}
