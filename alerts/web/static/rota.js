"use strict";
// A calendar file's text goes into its box; without this script it can be pasted there.
(() => {
  const file = document.getElementById("file");
  const box = document.getElementById("calendar");
  if (!file || !box) return;
  file.addEventListener("change", async () => { if (file.files.length) box.value = await file.files[0].text(); });
})();
