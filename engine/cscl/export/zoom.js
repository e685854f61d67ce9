// Enlarges the pictures of a case: all of them zoom and move together, and the pixel below the pointer is named.
(() => {
  "use strict";
  const cases = [...document.querySelectorAll(".case")];
  const dialog = document.createElement("dialog");
  if (!cases.length || !dialog.showModal) return;
  document.documentElement.classList.add("scripted");
  dialog.setAttribute("aria-labelledby", "zoom-title");
  dialog.innerHTML = `<div class="bar"><h3 id="zoom-title"></h3>
    <button data-do="back">← Previous</button><button data-do="next">Next →</button>
    <button data-do="in" aria-label="Zoom in">+</button><button data-do="out" aria-label="Zoom out">−</button>
    <button data-do="all">Whole</button><button data-do="close">Close</button></div>
    <p class="soft"></p><p class="told"></p><div class="stage"></div><ul class="legend"></ul>`;
  document.body.append(dialog);
  const find = (name) => dialog.querySelector(name);
  let at = 0, x = 0, y = 0, zoom = 1, panes = null, grip = null;

  const place = () => {
    [x, y] = [x, y].map((at) => Math.min(0, Math.max(100 * (1 - zoom), at)));
    for (const [name, value] of [["--x", x], ["--y", y], ["--z", zoom]]) panes.style.setProperty(name, value);
  };
  // fx and fy: the point that stays where it is, as a share of the view.
  const scale = (factor, fx = 0.5, fy = 0.5) => {
    const former = zoom;
    zoom = Math.min(24, Math.max(1, zoom * factor));
    x = 100 * fx - (100 * fx - x) * zoom / former;
    y = 100 * fy - (100 * fy - y) * zoom / former;
    place();
  };
  const whole = () => { zoom = 1; place(); };

  const show = (number) => {
    at = (number + cases.length) % cases.length;
    const card = cases[at];
    find("h3").textContent = card.querySelector("h3").textContent;
    find(".soft").textContent = [...card.querySelectorAll("p")].map((p) => p.textContent).join(" · ");
    find(".legend").innerHTML = card.querySelector(".legend").innerHTML +
      [...document.querySelectorAll(".kinds i")].map((i) => `<li>${i.outerHTML}${i.dataset.name}</li>`).join("");
    panes = card.querySelector(".panes").cloneNode(true);
    find(".stage").replaceChildren(panes);
    find(".told").textContent = "Point at a pixel to read its classes.";
    whole();
    if (!dialog.open) dialog.showModal();
    find('[data-do="next"]').focus();
  };
  dialog.addEventListener("close", () => cases[at].querySelector("button").focus());

  const names = (of) => new Map([...dialog.querySelectorAll(`[data-of="${of}"]`)]
    .map((i) => [getComputedStyle(i).backgroundColor, i.dataset.name]));
  const colour = (img, col, row) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const pen = canvas.getContext("2d");
    pen.drawImage(img, -col, -row);
    return `rgb(${[...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).join(", ")})`;
  };
  const tell = (fx, fy) => {
    const img = panes.querySelector("img");
    const [col, row] = [[fx, x, img.naturalWidth], [fy, y, img.naturalHeight]]
      .map(([f, moved, size]) => Math.floor(Math.min(0.9999, Math.max(0, (f - moved / 100) / zoom)) * size));
    const said = [`row ${+panes.dataset.row + row}, column ${+panes.dataset.col + col}`];
    for (const [kind, of, word] of [["truth", "crops", "labels"], ["map", "crops", "map"], ["errors", "errors", ""]]) {
      const name = names(of).get(colour(panes.querySelector(`.${kind} img`), col, row));
      if (name) said.push(word ? `${word}: ${name}` : name);
    }
    find(".told").textContent = said.join(" · ");
    for (const layer of panes.querySelectorAll(".layer")) {
      const cross = layer.querySelector(".cross") || layer.appendChild(document.createElement("div"));
      cross.className = "cross";
      cross.style.cssText = `left:${100 * col / img.naturalWidth}%;top:${100 * row / img.naturalHeight}%;` +
        `width:${100 / img.naturalWidth}%;height:${100 / img.naturalHeight}%`;
    }
  };
  const spot = (event) => {
    const view = event.target.closest(".view");
    const box = view && view.getBoundingClientRect();
    return box && [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box];
  };

  const acts = {
    back: () => show(at - 1), next: () => show(at + 1), in: () => scale(1.5), out: () => scale(1 / 1.5),
    all: whole, close: () => dialog.close(),
  };
  dialog.addEventListener("click", (event) => (acts[event.target.dataset.do] || (() => {}))());
  dialog.addEventListener("wheel", (event) => {
    const found = spot(event);
    if (!found) return;
    event.preventDefault();
    scale(event.deltaY < 0 ? 1.25 : 0.8, found[0], found[1]);
  }, { passive: false });
  dialog.addEventListener("pointerdown", (event) => { grip = spot(event) && [event.clientX, event.clientY]; });
  dialog.addEventListener("pointerup", () => { grip = null; });
  dialog.addEventListener("dragstart", (event) => event.preventDefault());
  dialog.addEventListener("pointermove", (event) => {
    const found = spot(event);
    if (found && grip && event.buttons) {
      x += 100 * (event.clientX - grip[0]) / found[2].width;
      y += 100 * (event.clientY - grip[1]) / found[2].height;
      grip = [event.clientX, event.clientY];
      place();
    } else if (found) tell(found[0], found[1]);
  });
  dialog.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] }[event.key];
    const act = { ArrowLeft: acts.back, ArrowRight: acts.next, "+": acts.in, "-": acts.out, 0: whole }[event.key];
    if (event.shiftKey && moves) { x += moves[0]; y += moves[1]; place(); }
    else if (act) act(); else return;
    event.preventDefault();
  });

  cases.forEach((card, number) => {
    const button = card.querySelector("button");
    button.hidden = false;
    button.addEventListener("click", () => show(number));
    card.querySelector(".panes").addEventListener("click", () => show(number));
  });
  const asked = cases.findIndex((card) => location.hash === `#zoom-${card.id}`);
  if (asked >= 0) show(asked);
})();
