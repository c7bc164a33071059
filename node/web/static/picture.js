// The picture of a device (M-74): made small in the browser, so that a photo of a telephone costs a few kB.

import { h, put } from "./dom.js";
import { field } from "./ui.js";

const SIDE = 160;
const MOST = 24000;

/** A field whose `value()` is a data URL, or empty. */
export function pictureField(present) {
  let image = present ?? "";
  const told = h("p", { class: "hint", role: "status" });
  const shown = h("div", { class: "picture" });
  const input = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp" });
  const draw = () => put(shown, image ? [h("img", { src: image, alt: "The device's picture" }),
    h("button", { type: "button", class: "small", onclick: () => { image = ""; input.value = ""; draw(); } }, "Remove")] : []);
  input.addEventListener("change", async () => {
    told.textContent = "";
    try {
      image = input.files[0] ? await small(input.files[0]) : image;
    } catch {
      told.textContent = "This file is no picture that the browser can read; choose a PNG, JPEG or WebP file.";
    }
    draw();
  });
  draw();
  const element = field("Device image (optional)", input, "For you alone.");
  element.append(told, shown);
  return { element, value: () => image };
}

async function small(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = h("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  for (const quality of [0.85, 0.6, 0.35]) {
    const found = canvas.toDataURL("image/jpeg", quality);
    if (found.length <= MOST) return found;
  }
  throw new Error("too large");
}
