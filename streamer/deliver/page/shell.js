/** The request as a line for a POSIX shell, and as HTTP. Pure text in, text out. */

/**
 * @param {string} text
 * @returns {string} One word of a shell that means exactly `text`: within single quotes nothing but the
 *   quote itself is special.
 */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {string} url Of the feed, without a query.
 * @param {Iterable<[string, string]>} parameters
 * @returns {string} A line for curl. The key is a variable: it should stand neither in the shell's history
 *   nor in what people copy to each other.
 */
export function curlLine(url, parameters) {
  const data = [...parameters].map(([name, value]) => `--data-urlencode ${quoted(`${name}=${value}`)}`);
  const options = data.length ? "-NG" : "-N"; // G: the data becomes the query of a GET
  return [`curl ${options} -H "Authorization: Bearer $KEY"`, ...data, quoted(url)].join(" \\\n  ");
}

/**
 * @param {string} path
 * @param {URLSearchParams} parameters
 * @param {string} host
 * @returns {string} What goes over the wire, without the key.
 */
export function requestText(path, parameters, host) {
  const query = parameters.size ? `?${parameters}` : "";
  const lines = [`GET ${path}${query}`, `Host: ${host}`, "Authorization: Bearer $KEY", "Accept: text/event-stream"];
  const named = [...parameters].map(([name, value]) => `${name} = ${value}`);
  return [...lines, ...(named.length ? ["", ...named] : [])].join("\n");
}
