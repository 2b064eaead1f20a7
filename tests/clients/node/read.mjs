// The npm package `eventsource`, as a partner uses it: one JSON line on stdout for all that it tells.
//   node read.mjs '{"url": …, "key": …, "encoding": "gzip", "follow": true}'
// Its connections end by themselves and resume; any status but 200 closes it for good: `follow` then opens
// another one, with the last id.
import { EventSource } from "eventsource";

const { url, key, encoding, follow } = JSON.parse(process.argv[2]);
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
let lastId = "";

function open() {
  const source = new EventSource(url, {
    fetch: async (input, init) => {
      const headers = { ...init.headers, Authorization: `Bearer ${key}`, "Accept-Encoding": encoding };
      if (lastId && !headers["Last-Event-ID"]) headers["Last-Event-ID"] = lastId;
      const response = await fetch(input, { ...init, headers });
      tell({
        status: response.status,
        encoding: response.headers.get("content-encoding") ?? "identity",
        retryAfter: response.headers.get("retry-after"),
      });
      return response;
    },
  });
  const take = (event) => {
    tell({ event: event.type, data: JSON.parse(event.data) });
    if (event.lastEventId) lastId = event.lastEventId;
  };
  for (const name of ["message", "cursor", "gap", "bye"]) source.addEventListener(name, take);
  source.addEventListener("error", (event) => {
    if (source.readyState !== source.CLOSED) return;
    tell({ closed: event.code });
    if (follow) setTimeout(open, 20);
  });
}

open();
