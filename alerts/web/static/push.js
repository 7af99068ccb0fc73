"use strict";
// Subscribes this browser to pushes, and shows whether it is.
(() => {
  const part = document.getElementById("push");
  if (!part) return;
  const [subscribe, test, unsubscribe, said] = ["subscribe", "test", "unsubscribe", "said"].map((id) => document.getElementById(id));
  const recipient = document.getElementById("recipient");
  const say = (words) => { said.textContent = words; };
  if (!("serviceWorker" in navigator) || !("PushManager" in window)) {
    subscribe.disabled = true;
    say(window.isSecureContext ? "This browser cannot be pushed to." : "This page must be opened by https for that.");
    return;
  }

  const bytes = (text) => {
    const padded = (text + "=".repeat((4 - text.length % 4) % 4)).replace(/-/g, "+").replace(/_/g, "/");
    return Uint8Array.from(atob(padded), (letter) => letter.charCodeAt(0));
  };
  const same = (a, b) => a && a.byteLength === b.byteLength && new Uint8Array(a).every((byte, i) => byte === b[i]);
  const post = async (path, body) => {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || `The service answered ${answer.status}.`);
  };
  const wanted = (subscription) => ({ recipient: recipient.value, subscription: subscription.toJSON() });
  const show = (subscription) => { test.hidden = unsubscribe.hidden = !subscription; };
  const guarded = (work) => async () => { try { await work(); } catch (error) { say(error.message); } };

  const ready = navigator.serviceWorker.register("/service-worker.js", { scope: "/" }).then(() => navigator.serviceWorker.ready);
  ready.then((worker) => worker.pushManager.getSubscription()).then(show, (error) => say(error.message));

  subscribe.addEventListener("click", guarded(async () => {
    if (await Notification.requestPermission() !== "granted") throw new Error("This browser does not allow notifications from this page.");
    const worker = await ready, key = bytes(part.dataset.key);
    let subscription = await worker.pushManager.getSubscription();
    if (subscription && !same(subscription.options.applicationServerKey, key)) { await subscription.unsubscribe(); subscription = null; }
    subscription = subscription || await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    await post("/push/subscribe", wanted(subscription));
    show(subscription);
    say("Alerts will be shown on this device. Send a test to see one.");
  }));
  test.addEventListener("click", guarded(async () => {
    const subscription = await (await ready).pushManager.getSubscription();
    await post("/push/test", wanted(subscription));
    say("The push service has taken a test message. It should appear within seconds.");
  }));
  unsubscribe.addEventListener("click", guarded(async () => {
    const subscription = await (await ready).pushManager.getSubscription();
    if (subscription) { await post("/push/unsubscribe", { endpoint: subscription.endpoint }); await subscription.unsubscribe(); }
    show(null);
    say("No more alerts on this device.");
  }));
})();
