// Server-sent events over fetch: EventSource cannot send a header, and the token belongs in no address.

// Yields the data of each event as the value that its JSON holds.
export async function* events(service, path, signal) {
  let rest = "";
  for await (const piece of service.pieces(path, signal)) {
    const parts = (rest + piece).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}
