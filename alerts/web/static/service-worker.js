"use strict";
// Shows pushed alerts while the page is closed. It caches nothing: an old worklist must never look like a current one.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let alert = { title: "Tocsin: an alert that could not be read. Open the worklist.", body: "", link: "/" };
  try { alert = event.data.json(); } catch { /* shown as it is: a push must never be silent */ }
  event.waitUntil(self.registration.showNotification(alert.title, {
    body: alert.body, tag: alert.tag, renotify: Boolean(alert.tag), requireInteraction: Boolean(alert.urgent),
    icon: "/static/icon-192.png", vibrate: alert.urgent ? [400, 100, 400, 100, 400] : [200], data: { link: alert.link },
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const link = new URL((event.notification.data || {}).link || "/", self.location.origin);
  if (link.origin !== self.location.origin) link.href = self.location.origin + "/";
  event.waitUntil(self.clients.openWindow(link.href));
});
