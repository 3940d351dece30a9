"use strict";
// What happens in the browser alone: the address and the controls follow each other.
window.dash_clientside = window.dash_clientside || {};
(function () {
  const nothing = function () { return window.dash_clientside.no_update; };  // Dash sets it later than this runs
  const PATIENCE_MS = 10000, MOST_PATIENCE_MS = 60000;
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

  window.dash_clientside.wgprof = {
    // The address says what is shown, and in which colours.
    where: function (search) {
      const scheme = schemeOf(search);
      document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
      return [{ search: search || "", scheme: scheme }, scheme];
    },

    // The controls show what was drawn, unless the address has moved on since.
    controls: function (facts) {
      if (!facts || facts.search !== (window.location.search || "")) return Array(14).fill(nothing());
      const whole = facts.range[0] === facts.bounds[0] && facts.range[1] === facts.bounds[1];
      const text = facts.live ? "the last " + seconds(facts.bounds[1] - facts.bounds[0])
        : whole ? "all " + seconds(facts.bounds[1] - facts.bounds[0])
        : seconds(facts.range[0]) + " to " + seconds(facts.range[1]);
      document.title = facts.title;
      // For whoever waits for the page: which address is on the screen, and which version of it.
      const page = document.documentElement.dataset;
      page.whole = facts.whole;
      window.requestAnimationFrame(function () {
        window.requestAnimationFrame(function () {
          page.shown = facts.search; page.version = facts.version; page.shownScheme = facts.scheme;
        });
      });
      return [
        facts.files, facts.file, facts.bounds[0], facts.bounds[1], facts.range, facts.live || facts.whole,
        text, facts.direction, facts.peers_known, facts.peers, facts.theme, facts.live ? "inline-flex" : "none",
        facts.created, facts.title,
      ];
    },

    // A changed control changes the address; one that says what was drawn anyway does not.
    address: function (file, range, direction, peers, theme, against, sweep, reset, facts) {
      const triggered = window.dash_clientside.callback_context.triggered.map(function (t) { return t.prop_id; });
      const changed = function (name) { return triggered.some(function (id) { return id.includes(name); }); };
      if (!facts) return nothing();
      const now = window.location.search || "";
      const asked = new URLSearchParams(now);
      const known = function (list) { return (list || []).map(Number).sort(function (a, b) { return a - b; }).join(","); };
      if (changed("reset.") && reset) {
        ["from", "to", "dir", "peers"].forEach(function (key) { asked.delete(key); });
      }
      if (changed("file.") && file && file !== facts.file) {
        ["from", "to", "peers", "against"].forEach(function (key) { asked.delete(key); });
        asked.set("file", file);
      }
      if (changed("range.") && range && !facts.live && String(range) !== String(facts.range)) {
        put(asked, "from", range[0] > facts.bounds[0] + 0.05 ? String(Math.round(range[0] * 10) / 10) : "");
        put(asked, "to", range[1] < facts.bounds[1] - 0.05 ? String(Math.round(range[1] * 10) / 10) : "");
      }
      if (changed("direction.") && direction !== facts.direction) put(asked, "dir", direction);
      if (changed("peers.") && known(peers) !== known(facts.peers)) put(asked, "peers", known(peers));
      if (changed("theme.") && theme !== facts.theme) put(asked, "theme", theme);
      if (changed("against") && (against || [])[0]) asked.set("against", against[0]);
      if (changed("sweep") && (sweep || [])[0] && sweep[0] !== facts.sweep) asked.set("sweep", sweep[0]);
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
