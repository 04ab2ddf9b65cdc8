// What the studio's own components do in the browser. Each function is the js_on_load of one of them
// (widgets.py): it gets gradio's element, props, trigger and watch. Nothing here asks the network.
const studio = (() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const root = (element) => element.querySelector(".studio");
  const following = (props, watch, render) => { watch("value", render); render(); };
  const dataOf = (file) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });

  // A picture, every pixel a square of whole screen pixels.
  const enlarged = (source, room, most = 16, alt = "") => {
    const image = make("img", { class: "pixels", src: source, alt, draggable: "false" });
    image.onload = () => {
      const side = Math.max(image.naturalWidth, image.naturalHeight);
      const scale = Math.max(1, Math.min(most, Math.floor(room / side)));
      image.style.width = `${image.naturalWidth * scale}px`;
      image.style.height = `${image.naturalHeight * scale}px`;
    };
    return image;
  };

  const save = (name, source) => {
    const link = make("a", { href: source, download: name });
    document.body.append(link);
    link.click();
    link.remove();
  };

  function gallery(element, props, trigger, watch) {
    const place = root(element);
    following(props, watch, () => {
      const { images = [], share = null, note = "", hint = "", wrong = false } = props.value || {};
      const bar = make("div", { class: "bar", hidden: share === null }, make("span"));
      bar.firstChild.style.width = `${Math.round(100 * (share || 0))}%`;
      const width = place.clientWidth || 640, isNarrow = width < 400;
      const room = Math.min(props.room || 160, (isNarrow ? width / 2 : width) - 26);
      if (isNarrow && share === 0) place.scrollIntoView({ block: "center", behavior: "smooth" });
      const tiles = images.map(({ src, caption = "" }, index) => make(
        "button",
        { class: "tile", title: props.action || "", onclick: () => trigger("select", { index }) },
        enlarged(src, room, 16, caption || `drawing ${index + 1}`),
        ...(caption ? [make("span", {}, caption)] : []),
      ));
      const words = images.length || share !== null ? [] : [make("p", { class: "hint" }, hint || props.hint || "")];
      place.replaceChildren(bar, make("div", { class: "tiles" }, ...tiles), ...words, make("p", { class: wrong ? "note wrong" : "note" }, note));
    });
  }

  const hexOf = (words) => {
    const digits = words.trim().replace(/^#/, "").toLowerCase();
    const long = /^[0-9a-f]{3,4}$/.test(digits) ? [...digits].map((digit) => digit + digit).join("") : digits;
    return /^([0-9a-f]{6}|[0-9a-f]{8})$/.test(long) ? long.replace(/^(.{6})ff$/, "$1") : null;
  };
  const isClear = (color) => color.length === 8 && color.endsWith("00");

  function palette(element, props, trigger, watch) {
    const place = root(element);
    let chosen = -1, isPasting = false, isFile = false, wrong = "", count = 16;
    const change = (changes, isOf = "") => {
      props.value = { ...props.value, name: isOf, wrong: "", ...changes };
      wrong = "";
      render();
      trigger("change");
    };
    const withKept = (colors) => {
      const { colors: own = [], locked = [] } = props.value || {};
      const kept = own.filter((_, index) => locked[index]);
      return [[...kept, ...colors.filter((color) => !kept.includes(color))].slice(0, 256), kept.length];
    };
    const take = (colors, name = "") => {
      const [all, kept] = withKept(colors);
      chosen = -1;
      change({ colors: all, locked: all.map((_, index) => index < kept) }, kept ? "" : name);
    };
    const edited = (index, color) => {
      const clash = isClear(color) && props.value.colors.some((each, other) => other !== index && isClear(each));
      if (clash) { wrong = "A palette has at most one transparent color."; return render(); }
      change({ colors: props.value.colors.map((each, other) => (other === index ? color : each)) });
    };
    const moved = (from, to) => {
      const { colors, locked } = props.value;
      if (to < 0 || to >= colors.length || from === to) return;
      const order = colors.map((_, index) => index);
      order.splice(to, 0, ...order.splice(from, 1));
      chosen = to;
      change({ colors: order.map((index) => colors[index]), locked: order.map((index) => locked[index]) });
    };
    const paste = (words) => {
      const found = words.split(/[\s,;]+/).filter(Boolean).map(hexOf);
      if (!found.length || found.includes(null)) wrong = "Write colors like 1d2b53, ff004d or f80, with commas or line breaks between.";
      else if (found.length > 256) wrong = `These are ${found.length} colors; a palette has at most 256.`;
      else if (found.filter(isClear).length > 1) wrong = "A palette has at most one transparent color.";
      else { isPasting = false; return take(found); }
      render();
    };
    function render() {
      const { colors = [], locked = [], name = "" } = props.value || {};
      const names = Object.keys(props.named);
      const select = make("select", {
        "aria-label": "Palette by name",
        onchange: () => (select.value in props.own ? change({ colors: [], locked: [] }, select.value)
          : select.value && take(props.named[select.value], select.value)),
      },
      make("option", { value: "", selected: !name }, "Your own colors"),
      ...Object.entries(props.own).map(([each, words]) => make("option", { value: each, selected: each === name }, words)),
      ...names.map((each) => make("option", { value: each, selected: each === name }, each)));
      const file = make("input", {
        type: "file", hidden: true, accept: props.accept,
        onchange: async () => {
          if (!file.files.length) return;
          const data = await dataOf(file.files[0]);
          trigger("upload", { name: file.files[0].name, data, count, kept: colors.filter((_, index) => locked[index]) });
          file.value = "";
        },
      });
      const swatches = colors.map((color, index) => {
        const swatch = make("button", {
          class: `swatch${index === chosen ? " chosen" : ""}${locked[index] ? " locked" : ""}`,
          title: `#${color}${locked[index] ? ", locked" : ""}`, "aria-label": `color ${index + 1}: ${color}`,
          draggable: "true",
          onclick: () => { chosen = chosen === index ? -1 : index; render(); },
          ondragstart: (event) => event.dataTransfer.setData("text/plain", `entry ${index}`),
          ondragover: (event) => event.preventDefault(),
          ondrop: (event) => {
            event.preventDefault();
            const [, from] = event.dataTransfer.getData("text/plain").match(/^entry (\d+)$/) || [];
            if (from !== undefined) moved(Number(from), index);
          },
        }, make("i"));
        swatch.firstChild.style.background = `#${color}`;
        return swatch;
      });
      const editor = [];
      if (chosen >= 0 && chosen < colors.length) {
        const color = colors[chosen], at = chosen;
        editor.push(make("div", { class: "row editor" },
          make("input", { type: "color", value: `#${color.slice(0, 6)}`, "aria-label": "Color", onchange: (event) => edited(at, event.target.value.slice(1)) }),
          make("input", {
            type: "text", value: color, size: "8", spellcheck: "false", "aria-label": "Color as hex",
            onchange: (event) => {
              const hex = hexOf(event.target.value);
              if (hex) edited(at, hex);
              else { wrong = `${event.target.value} is no color: write RRGGBB.`; render(); }
            },
          }),
          make("button", { onclick: () => moved(at, at - 1), title: "Move it to the left" }, "←"),
          make("button", { onclick: () => moved(at, at + 1), title: "Move it to the right" }, "→"),
          make("button", { onclick: () => change({ locked: locked.map((each, index) => (index === at ? !each : each)) }, name), title: "A locked color stays when you take another palette" }, locked[at] ? "Unlock" : "Lock"),
          make("button", { onclick: () => edited(at, isClear(color) ? color.slice(0, 6) : `${color.slice(0, 6)}00`) }, isClear(color) ? "Make solid" : "Make transparent"),
          make("button", {
            onclick: () => {
              chosen = -1;
              change({ colors: colors.filter((_, index) => index !== at), locked: locked.filter((_, index) => index !== at) });
            },
          }, "Remove"),
        ));
      }
      if (isFile) {
        const many = make("input", { type: "text", inputmode: "numeric", size: "4", value: String(count), "aria-label": "Colors to take from a picture", onchange: () => { count = Math.max(2, Math.min(256, parseInt(many.value) || 16)); many.value = String(count); } });
        editor.push(make("div", { class: "row editor" }, make("button", { class: "take", onclick: () => file.click() }, "Choose a file"), make("span", { class: "note" }, "A palette file of any program; or a picture, of which so many colors are taken:"), many));
      }
      if (isPasting) {
        const area = make("textarea", { rows: "3", "aria-label": "Colors as hex", placeholder: "1d2b53, ff004d, fff1e8 …" });
        editor.push(make("div", { class: "row" }, area, make("button", { class: "take", onclick: () => paste(area.value) }, "Take these")));
      }
      const about = name === "train" ? "Each drawing gets the palette, and the transparency, of a picture that the model has learned from."
        : name in props.own ? "Each drawing gets a palette of its own that the model draws."
        : `${colors.length} ${colors.length === 1 ? "color" : "colors"}${locked.some(Boolean) ? `, ${locked.filter(Boolean).length} locked` : ""}. Click one to change it, drag it to move it.`;
      place.replaceChildren(
        make("div", { class: "row" }, make("b", {}, "Palette"), select,
          make("button", { class: isFile ? "on" : "", onclick: () => { isFile = !isFile; isPasting = false; render(); } }, "From a file"),
          make("button", { class: isPasting ? "on" : "", onclick: () => { isPasting = !isPasting; isFile = false; render(); } }, "Paste"),
          make("button", { disabled: colors.length > 255 || name in props.own, onclick: () => { chosen = colors.length; change({ colors: [...colors, "808080"], locked: [...locked, false] }); } }, "Add"), file),
        make("div", { class: "swatches" }, ...swatches),
        ...editor,
        make("p", { class: wrong ? "note wrong" : "note" }, wrong || about),
      );
    }
    watch("value", () => {
      wrong = props.value?.wrong || "";
      if (!wrong) { chosen = -1; isFile = false; }
      render();
    });
    render();
  }

  function painter(element, props, trigger, watch) {
    const place = root(element);
    let tool = "paint", brush = 2, mask = null, picture = null, shown = null;
    const canvas = make("canvas", { class: "pixels paper", "aria-label": "Paint what shall be drawn anew" });
    const tell = () => {
      const { width, height } = picture, paper = make("canvas", { width, height });
      const context = paper.getContext("2d"), pixels = context.createImageData(width, height);
      mask.forEach((each, index) => pixels.data.set([each * 255, each * 255, each * 255, 255], 4 * index));
      context.putImageData(pixels, 0, 0);
      props.value = { ...props.value, mask: mask.some(Boolean) ? paper.toDataURL("image/png") : "" };
      trigger("input");
    };
    const show = () => {
      if (!picture) return;
      const { width, height } = picture, room = Math.min(384, place.clientWidth - 4 || 384);
      const scale = Math.max(1, Math.floor(room / Math.max(width, height)));
      canvas.width = width * scale;
      canvas.height = height * scale;
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, 0, 0, canvas.width, canvas.height);
      context.fillStyle = "rgba(255, 0, 110, 0.55)";
      mask.forEach((each, index) => each && context.fillRect((index % width) * scale, Math.floor(index / width) * scale, scale, scale));
    };
    const touch = (event) => {
      const box = canvas.getBoundingClientRect(), { width, height } = picture;
      const x = Math.floor(((event.clientX - box.left) / box.width) * width - (brush - 1) / 2 + 1e-6);
      const y = Math.floor(((event.clientY - box.top) / box.height) * height - (brush - 1) / 2 + 1e-6);
      for (let row = y; row < y + brush; row++) for (let column = x; column < x + brush; column++)
        if (row >= 0 && row < height && column >= 0 && column < width) mask[row * width + column] = tool === "paint" ? 1 : 0;
      show();
    };
    canvas.addEventListener("pointerdown", (event) => { if (picture) { canvas.setPointerCapture(event.pointerId); touch(event); } });
    canvas.addEventListener("pointermove", (event) => { if (picture && event.buttons) touch(event); });
    canvas.addEventListener("pointerup", () => picture && tell());
    const all = (next) => { if (picture) { mask = mask.map(next); show(); tell(); } };
    function render() {
      const source = props.value?.src;
      const tools = [["paint", "Paint"], ["erase", "Erase"]].map(([name, words]) => make("button", {
        class: tool === name ? "on" : "", onclick: () => { tool = name; render(); },
      }, words));
      const size = make("input", { type: "range", min: "1", max: "8", value: String(brush), "aria-label": "Brush, pixels", oninput: () => { brush = Number(size.value); size.nextSibling.textContent = `${brush} px`; } });
      place.replaceChildren(
        make("div", { class: "row" }, ...tools, size, make("span", {}, `${brush} px`),
          make("button", { onclick: () => all(() => 1) }, "All"), make("button", { onclick: () => all(() => 0) }, "Nothing"),
          make("button", { onclick: () => all((each) => 1 - each) }, "Invert")),
        source ? canvas : make("p", { class: "hint" }, props.hint || ""),
      );
      if (source && source !== shown) {
        shown = source;
        const image = new Image();
        image.onload = () => { picture = image; mask = Array(image.width * image.height).fill(0); show(); };
        image.src = source;
      } else show();
    }
    watch("value", render);
    render();
    new ResizeObserver(() => show()).observe(place);
  }

  function upload(element, props, trigger, watch) {
    const place = root(element);
    const take = async (file) => {
      if (!file) return;
      if (file.size > props.most) {
        props.value = { name: "", data: "", wrong: `${file.name} is larger than ${props.most >> 20} MB.` };
        return render();
      }
      props.value = { name: file.name, data: await dataOf(file) };
      render();
      trigger("upload");
    };
    function render() {
      const { name = "", data = "", wrong = "" } = props.value || {};
      const file = make("input", { type: "file", hidden: true, accept: props.accept, onchange: () => take(file.files[0]) });
      const zone = make("button", {
        class: "drop", onclick: () => file.click(),
        ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); },
        ondragleave: () => zone.classList.remove("over"),
        ondrop: (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); },
      }, ...(data ? [make("img", { src: data, alt: name, class: "preview" })] : []), make("span", {}, name || props.words));
      const away = make("button", { class: "away", onclick: () => { props.value = {}; render(); trigger("upload"); } }, "Remove");
      place.replaceChildren(make("div", { class: "dropped" }, zone, ...(data ? [away] : [])), file, make("p", { class: "note wrong", hidden: !wrong }, wrong));
    }
    following(props, watch, render);
  }

  // The drawings of this sitting. They are kept in the browser's tab alone, and outlive a refresh.
  const KEPT = "tincture-studio", MOST = 300;
  function strip(element, props, trigger, watch) {
    const place = root(element);
    const keep = () => {
      let items = (props.value?.items || []).slice(-MOST);
      for (;;) {
        try { return sessionStorage.setItem(KEPT, JSON.stringify({ ...props.value, items })); }
        catch { if (!items.length) return; items = items.slice(Math.ceil(items.length / 4)); }
      }
    };
    const set = (value) => { props.value = value; render(); trigger("change"); };
    function render() {
      const { items = [], selected = [] } = props.value || {};
      keep();
      const tiles = items.map(({ src, label }, index) => make("button", {
        class: `tile small${selected.includes(index) ? " chosen" : ""}`, title: label, "aria-pressed": String(selected.includes(index)),
        onclick: (event) => set({ items, selected: event.shiftKey || props.several
          ? (selected.includes(index) ? selected.filter((each) => each !== index) : [...selected, index])
          : [index] }),
      }, enlarged(src, 64, 4, label))).reverse();
      const count = selected.length ? `${selected.length} chosen` : "none chosen";
      place.replaceChildren(
        make("div", { class: "row head" },
          make("b", {}, "Your drawings"),
          make("span", { class: "note" }, items.length ? `${items.length}, ${count}. Click to choose for the other tabs.` : "What you draw appears here and stays until you close the tab."),
          ...(items.length ? [
            make("button", { onclick: () => { props.several = !props.several; render(); }, class: props.several ? "on" : "" }, "Choose several"),
            make("button", { onclick: () => set({ items, selected: items.map((_, index) => index) }) }, "All"),
            make("button", { disabled: !selected.length, onclick: () => set({ items: items.filter((_, index) => !selected.includes(index)), selected: [] }) }, "Remove"),
          ] : [])),
        make("div", { class: "strip" }, ...tiles),
      );
    }
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(KEPT)); } catch { sessionStorage.removeItem(KEPT); }
    if (kept?.items?.length && !props.value?.items?.length) setTimeout(() => set(kept), 0);
    watch("value", render);
    if (!kept) render();
  }

  function saver(element, props, trigger, watch) {
    const place = root(element);
    watch("value", () => {
      const { name = "", data = "", note = "" } = props.value || {};
      if (data) save(name, data);
      place.replaceChildren(make("p", { class: "note" }, note));
    });
  }

  function split(element, props, trigger, watch) {
    const place = root(element);
    following(props, watch, () => {
      const { before = "", after = "", note = "" } = props.value || {};
      if (!after) return place.replaceChildren(make("p", { class: "hint" }, props.hint || ""));
      const top = make("img", { src: after, class: "pixels", alt: "after", draggable: "false" });
      const below = make("img", { src: before, class: "pixels", alt: "before", draggable: "false" });
      const stage = make("div", { class: "stage" }, below, top, make("i", { class: "line" }));
      below.onload = () => {
        const scale = Math.max(1, Math.floor(Math.min(640, place.clientWidth) / below.naturalWidth));
        for (const each of [below, top]) each.style.width = `${below.naturalWidth * scale}px`;
      };
      const move = (share) => {
        top.style.clipPath = `inset(0 0 0 ${share}%)`;
        stage.lastChild.style.left = `${share}%`;
      };
      const slide = make("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": "Where before ends and after begins", oninput: () => move(Number(slide.value)) });
      stage.addEventListener("pointermove", (event) => {
        const box = stage.getBoundingClientRect();
        if (event.buttons) { slide.value = String((100 * (event.clientX - box.left)) / box.width); move(Number(slide.value)); }
      });
      move(50);
      place.replaceChildren(stage, slide, make("p", { class: "note" }, note));
    });
  }

  // Colors as points in OKLab: lightness upwards, a and b on the floor. Dragging turns them.
  function cloud(element, props, trigger, watch) {
    const place = root(element);
    const canvas = make("canvas", { width: "360", height: "300", class: "cloud", "aria-label": "The colors in OKLab; drag to turn them" });
    let turn = 0.6, tilt = 0.35;
    const show = () => {
      const context = canvas.getContext("2d"), { points = [], entries = [] } = props.value || {};
      context.clearRect(0, 0, canvas.width, canvas.height);
      const at = ([l, a, b]) => {
        const x = (a * Math.cos(turn) - b * Math.sin(turn)) * 2.2, z = (a * Math.sin(turn) + b * Math.cos(turn)) * 2.2, y = l - 0.5;
        return [180 + 180 * x, 150 - 180 * (y * Math.cos(tilt) - z * Math.sin(tilt)), z * Math.cos(tilt) + y * Math.sin(tilt)];
      };
      const line = (from, to) => { context.beginPath(); context.moveTo(...at(from)); context.lineTo(...at(to)); context.stroke(); };
      context.strokeStyle = "#8888";
      line([0, 0, 0], [1, 0, 0]);
      const floor = [[0, -0.3, -0.3], [0, 0.3, -0.3], [0, 0.3, 0.3], [0, -0.3, 0.3]];
      floor.forEach((corner, index) => line(corner, floor[(index + 1) % 4]));
      const dots = [...points.map((each) => [...at(each), each[3], 1.5]), ...entries.map((each) => [...at(each), each[3], 6])];
      for (const [x, y, , color, radius] of dots.sort((one, other) => other[2] - one[2])) {
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fillStyle = `#${color}`;
        context.fill();
        if (radius > 2) { context.strokeStyle = "#333"; context.stroke(); }
      }
    };
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      turn += event.movementX / 100;
      tilt = Math.max(-1.5, Math.min(1.5, tilt + event.movementY / 100));
      show();
    });
    place.replaceChildren(canvas, make("p", { class: "note" }, "The picture's colors in OKLab, the palette's entries ringed. Drag to turn."));
    following(props, watch, () => { place.hidden = !props.value?.entries?.length; show(); });
  }

  // What is drawn joins the strip.
  const joined = (drawn, strip, isChosen) => {
    const { items = [], selected = [] } = strip || {}, fresh = drawn?.fresh || [];
    const all = [...items, ...fresh].slice(-MOST), gone = items.length + fresh.length - all.length;
    const kept = selected.map((index) => index - gone).filter((index) => index >= 0);
    return { items: all, selected: isChosen && fresh.length ? [all.length - fresh.length] : kept };
  };
  const chosen = (strip) => {
    const { items = [], selected = [] } = strip || {};
    return selected.filter((index) => index < items.length).map((index) => items[index]);
  };
  return { gallery, palette, painter, upload, strip, saver, split, cloud, joined, chosen, save, dataOf, make };
})();
window.studio = studio;
