// The text of an EPUB in reading order: a zip of XHTML pages, listed in a package file (W3C EPUB 3.3).

const END_OF_ZIP = 0x06054b50;
const ENTRY = 0x02014b50;
const STORED = 0;
const BLOCKS = "p, h1, h2, h3, h4, h5, h6, li, blockquote, pre, dt, dd, figcaption, td, th";

/** Raises an Error for what is no such book. */
export async function readEpub(file) {
  const zip = await readZip(file);
  const container = parse(await zip.text("META-INF/container.xml"), "application/xml");
  const path = container.querySelector("rootfile").getAttribute("full-path");
  const book = parse(await zip.text(path), "application/xml");
  const pages = new Map([...book.querySelectorAll("manifest > item")].map((item) => [item.id, item.getAttribute("href")]));
  const texts = [];
  for (const item of book.querySelectorAll("spine > itemref")) {
    if (item.getAttribute("linear") === "no" || !pages.has(item.getAttribute("idref"))) continue;
    const page = new URL(pages.get(item.getAttribute("idref")), `zip:/${path}`).pathname.slice(1);
    texts.push(pageText(parse(await zip.text(decodeURIComponent(page)), "text/html")));
  }
  const text = texts.filter(Boolean).join("\n\n");
  if (!text) throw new Error("no text");
  return text;
}

function pageText(page) {
  const lines = [...page.querySelectorAll(BLOCKS)]
    .filter((block) => !block.querySelector(BLOCKS))
    .map((block) => block.textContent.replace(/\s+/g, " ").trim());
  return lines.filter(Boolean).join("\n\n") || page.body.textContent.replace(/\s+/g, " ").trim();
}

function parse(text, type) {
  return new DOMParser().parseFromString(text, type);
}

async function readZip(file) {
  const data = new DataView(await file.arrayBuffer());
  let end = data.byteLength - 22;
  while (end >= 0 && data.getUint32(end, true) !== END_OF_ZIP) end--;
  const entries = new Map();
  let at = data.getUint32(end + 16, true);
  for (let left = data.getUint16(end + 10, true); left && data.getUint32(at, true) === ENTRY; left--) {
    const [name, extra, comment] = [28, 30, 32].map((offset) => data.getUint16(at + offset, true));
    const bytes = new Uint8Array(data.buffer, at + 46, name);
    entries.set(new TextDecoder().decode(bytes), {
      method: data.getUint16(at + 10, true), size: data.getUint32(at + 20, true), start: data.getUint32(at + 42, true),
    });
    at += 46 + name + extra + comment;
  }
  return {
    async text(name) {
      const { method, size, start } = entries.get(name);
      const from = start + 30 + data.getUint16(start + 26, true) + data.getUint16(start + 28, true);
      const stream = new Blob([new Uint8Array(data.buffer, from, size)]).stream();
      return new Response(method === STORED ? stream : stream.pipeThrough(new DecompressionStream("deflate-raw"))).text();
    },
  };
}
