// What this browser keeps: generations and previews, in IndexedDB. Survives reload and restart; nothing leaves it.

const NAME = "orpheus";
const STORES = ["clips", "pcm", "previews"];
// clips: what is listed. pcm: the samples of each, apart, so that a list of a hundred does not read gigabytes.

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      for (const store of STORES) request.result.createObjectStore(store, { keyPath: "id" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Do something with stores in one transaction; resolves to its request's result when all is on the disk. */
async function within(stores, mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(stores, mode);
    const request = work((name) => transaction.objectStore(name));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

export const load = (store, id) => within([store], "readonly", (of) => of(store).get(id));
export const all = (store) => within([store], "readonly", (of) => of(store).getAll());
export const keep = (store, value) => within([store], "readwrite", (of) => of(store).put(value));

export const keepClip = (about, pcm) =>
  within(["clips", "pcm"], "readwrite", (of) => {
    of("pcm").put({ id: about.id, pcm });
    return of("clips").put(about);
  });

export const dropClip = (id) =>
  within(["clips", "pcm"], "readwrite", (of) => {
    of("pcm").delete(id);
    return of("clips").delete(id);
  });

export const dropAllClips = () =>
  within(["clips", "pcm"], "readwrite", (of) => {
    of("pcm").clear();
    return of("clips").clear();
  });
