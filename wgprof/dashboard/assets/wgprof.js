"use strict";
// What happens in the browser alone: the address and the controls follow each other.
window.dash_clientside = window.dash_clientside || {};
(function () {
  const nothing = function () { return window.dash_clientside.no_update; };  // Dash sets it later than this runs
  const PATIENCE_MS = 10000, MOST_PATIENCE_MS = 60000;
  const PLOTLY_MS = 300;  // it is started after that long at the latest
  const LOST_MS = 2000;  // a figure that is not drawn by then is not waited for
  let since = performance.now(), patience = PATIENCE_MS;  // when the server was asked, and how long it may take
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

  function schemeOf(search) {
    const theme = new URLSearchParams(search).get("theme");
    if (theme === "light" || theme === "dark") return theme;
    return systemDark.matches ? "dark" : "light";
  }

  function written(parameters) {
    const text = parameters.toString().replaceAll("%2C", ",");
    return text ? "?" + text : "";
  }

  function put(parameters, key, value) {
    if (value) parameters.set(key, value); else parameters.delete(key);
  }

  function seconds(value) {
    return (Math.round(value * 10) / 10).toFixed(1) + " s";
  }

  // Whether a clientside callback was called because of that property, or one of that component.
  function triggered(name) {
    return window.dash_clientside.callback_context.triggered.some(function (t) { return t.prop_id.includes(name); });
  }

  // After the next picture on the screen.
  function onScreen() {
    return new Promise(function (resolve) {
      window.requestAnimationFrame(function () { window.requestAnimationFrame(resolve); });
    });
  }

  // Plotly takes long to start, and Dash starts it only when it has a figure: better while the server is still asked.
  function preparePlotly() {
    const there = document.getElementById("plotly");
    if (window.Plotly || document.querySelector('script[src$="plotly.min.js"]')) return;
    const script = document.createElement("script");
    script.src = there.href;
    document.head.appendChild(script);
  }

  function figureOf(name) {
    return document.getElementById("figure-" + name);
  }

  function visible(name) {
    const frame = figureOf(name), box = frame && frame.getBoundingClientRect();
    return Boolean(box) && box.bottom > 0 && box.top < window.innerHeight;
  }

  // A figure that stands there takes what it shows now; resolves when it is drawn.
  function give(name, figure) {
    const frame = figureOf(name), plot = frame && frame.querySelector(".js-plotly-plot");
    if (!frame) return Promise.resolve();
    const drawn = new Promise(function (resolve) {
      if (plot && plot.once) plot.once("plotly_afterplot", resolve);
      window.setTimeout(resolve, plot && plot.once ? LOST_MS : 0);
    });
    window.dash_clientside.set_props({ kind: "graph", name: name }, figure.graph);
    window.dash_clientside.set_props("about-" + name, { children: figure.about });
    return drawn;
  }

  // The figures that can be seen first, those further down one by one when there is time; resolves after the first.
  let turn = 0;
  function redraw(figures, facts) {
    const mine = ++turn, names = Object.keys(figures), first = names.filter(visible);
    const rest = names.filter(function (name) { return !first.includes(name); });
    function next() {
      if (mine !== turn) return;
      const name = rest.shift();
      if (name === undefined) { document.documentElement.dataset.drawn = facts.search; return; }
      give(name, figures[name]).then(idle).then(next);
    }
    const painted = Promise.all(first.map(function (name) { return give(name, figures[name]); }));
    painted.then(onScreen).then(idle).then(next);
    return painted;
  }

  function idle() {
    return new Promise(function (resolve) { window.setTimeout(resolve, 0); });
  }

  window.dash_clientside.wgprof = {
    // The address says what is shown, and in which colours.
    where: function (search) {
      window.requestIdleCallback(preparePlotly, { timeout: PLOTLY_MS });
      const scheme = schemeOf(search);
      document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
      return [{ search: search || "", scheme: scheme }, scheme];
    },

    // What was drawn is shown: figures that stand there already take what they show now; so do the controls, unless
    // the address has moved on since.
    controls: function (facts, figures) {
      const before = Array.prototype.slice.call(arguments, 2);
      if (!facts) return before.map(nothing);
      const painted = redraw(triggered("figures.") && figures || {}, facts);
      if (facts.search !== (window.location.search || "")) return before.map(nothing);
      const whole = facts.range[0] === facts.bounds[0] && facts.range[1] === facts.bounds[1];
      const text = facts.live ? "the last " + seconds(facts.bounds[1] - facts.bounds[0])
        : whole ? "all " + seconds(facts.bounds[1] - facts.bounds[0])
        : seconds(facts.range[0]) + " to " + seconds(facts.range[1]);
      document.title = facts.title;
      const page = document.documentElement.dataset;
      page.whole = facts.whole;
      // For whoever waits for the page: which address is on the screen, and which version of it.
      painted.then(onScreen).then(function () {
        page.shown = facts.search; page.version = facts.version; page.shownScheme = facts.scheme;
      });
      const now = [
        facts.files, facts.file, facts.bounds[0], facts.bounds[1], facts.range, facts.live || facts.whole,
        text, facts.direction, facts.peers_known, facts.peers, facts.theme, facts.live ? "inline-flex" : "none",
        facts.created, facts.title,
      ];
      // What a control shows already it need not draw again.
      return now.map(function (value, at) {
        return JSON.stringify(value) === JSON.stringify(before[at]) ? nothing() : value;
      });
    },

    // A changed control changes the address; one that says what was drawn anyway does not.
    address: function (file, range, direction, peers, theme, against, sweep, reset, facts) {
      if (!facts) return nothing();
      const now = window.location.search || "";
      const asked = new URLSearchParams(now);
      const known = function (list) { return (list || []).map(Number).sort(function (a, b) { return a - b; }).join(","); };
      if (triggered("reset.") && reset) {
        ["from", "to", "dir", "peers"].forEach(function (key) { asked.delete(key); });
      }
      if (triggered("file.") && file && file !== facts.file) {
        ["from", "to", "peers", "against"].forEach(function (key) { asked.delete(key); });
        asked.set("file", file);
      }
      if (triggered("range.") && range && !facts.live && String(range) !== String(facts.range)) {
        put(asked, "from", range[0] > facts.bounds[0] + 0.05 ? String(Math.round(range[0] * 10) / 10) : "");
        put(asked, "to", range[1] < facts.bounds[1] - 0.05 ? String(Math.round(range[1] * 10) / 10) : "");
      }
      if (triggered("direction.") && direction !== facts.direction) put(asked, "dir", direction);
      if (triggered("peers.") && known(peers) !== known(facts.peers)) put(asked, "peers", known(peers));
      if (triggered("theme.") && theme !== facts.theme) put(asked, "theme", theme);
      if (triggered("against") && (against || [])[0]) asked.set("against", against[0]);
      if (triggered("sweep") && (sweep || [])[0] && sweep[0] !== facts.sweep) asked.set("sweep", sweep[0]);
      const next = written(asked);
      return next === now ? nothing() : next;
    },

    // Ask for what is new, but never before the last answer was drawn, unless that is lost.
    pulse: function (beat, asked, answered, facts) {
      const now = performance.now();
      if (answered === asked && facts) {
        patience = PATIENCE_MS;
        since = now;
        return facts.follows ? asked + 1 : nothing();
      }
      if (now - since < patience) return nothing();
      patience = Math.min(2 * patience, MOST_PATIENCE_MS);  // asking again drops an answer that is only slow
      since = now;
      return asked + 1;
    },
  };

  systemDark.addEventListener("change", function () {
    // Auto: the page follows the system.
    window.dispatchEvent(new PopStateEvent("popstate"));
  });

  // Tables: figures are sorted by what they mean, not by their first digit.
  const FACTORS = {
    ns: 1, "µs": 1e3, ms: 1e6, s: 1e9, "%": 0.01, "Gbit/s": 1e3, GB: 1e9, MB: 1e6, kB: 1e3,
  };
  function figure(text) {
    const found = /^[^\d+-]*([+-]?[\d,]*\.?\d+)\s*(\S*)/.exec(text || "");
    return found ? parseFloat(found[1].replaceAll(",", "")) * (FACTORS[found[2]] || 1) : -Infinity;
  }
  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  functions.byFigure = function (a, b) {
    const one = figure(a), other = figure(b);
    return one === other ? 0 : one < other ? -1 : 1;
  };
  functions.wgprofTheme = function (agGrid) {
    return agGrid.themeQuartz.withParams({
      backgroundColor: "var(--ground)", foregroundColor: "var(--ink)", textColor: "var(--ink)",
      headerTextColor: "var(--soft)", headerBackgroundColor: "var(--panel)", borderColor: "var(--line)",
      chromeBackgroundColor: "var(--panel)", oddRowBackgroundColor: "var(--ground)", accentColor: "#1c7ed6",
      rowHoverColor: "var(--panel)", browserColorScheme: "inherit", fontFamily: "inherit", fontSize: "0.845rem",
      headerFontWeight: 600, wrapperBorderRadius: 6, columnBorder: false, spacing: 6,
    });
  };
})();
