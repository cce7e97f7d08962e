// Keeps every file of the site, so that it works without a connection. `voxedge web` writes which
// files there are, and a version that differs as soon as one of them does.
const SITE = /* site */ null;

const PREFIX = `voxedge ${self.registration.scope} `;
const CACHE = PREFIX + SITE.version;

self.addEventListener("install", (event) => {
  const files = SITE.files.map((name) => new Request(name, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(files)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith(PREFIX) && name !== CACHE;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  const found = caches.open(CACHE).then((cache) => cache.match(request, { ignoreSearch: true }));
  event.respondWith(found.then((response) => response ?? fetch(request)));
});
